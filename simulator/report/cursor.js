// Reads the charts' values out, at the pointer or by arrow keys. Without it the page is complete.
(() => {
  const values = JSON.parse(document.getElementById("values").textContent);
  const figures = [...document.querySelectorAll("figure.chart")];
  const last = values.at.length - 1;
  if (last < 1) return;

  const show = (index) => {
    for (const figure of figures) {
      const text = values.charts[figure.dataset.chart][index];
      const x = values.at[index];
      const cursor = figure.querySelector(".cursor");
      cursor.setAttribute("transform", `translate(${1000 * x} 0)`);
      cursor.removeAttribute("hidden");
      const readout = figure.querySelector(".readout");
      readout.textContent = `${values.clock[index]}  ${text}`;
      const plot = figure.querySelector(".plot");
      plot.setAttribute("aria-valuenow", index);
      plot.setAttribute("aria-valuetext", `${values.clock[index]}: ${text}`);
    }
  };
  const hide = () => {
    for (const figure of figures) {
      figure.querySelector(".cursor").setAttribute("hidden", "");
      figure.querySelector(".readout").textContent = "";
    }
  };
  const nearest = (x) => {
    let best = 0;
    values.at.forEach((at, index) => {
      if (Math.abs(at - x) < Math.abs(values.at[best] - x)) best = index;
    });
    return best;
  };

  let index = 0;
  for (const figure of figures) {
    const plot = figure.querySelector(".plot");
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      index = nearest((event.clientX - box.left) / box.width);
      show(index);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("focus", () => show(index));
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -last, End: last };
      if (!Object.hasOwn(steps, event.key)) return;
      event.preventDefault();
      index = Math.max(0, Math.min(last, index + steps[event.key]));
      show(index);
    });
  }
})();
