/** An HTML table that scrolls by itself on a narrow screen. All cells are text. */
import { escaped } from "./figures.ts";

/** @param numeric columns whose cells are numbers, from 0 */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  numeric: readonly number[],
  caption = "",
): string {
  const kind = (column: number) => (numeric.includes(column) ? ' class="number"' : "");
  const head = heads.map((text, column) => `<th scope="col"${kind(column)}>${escaped(text)}</th>`);
  const body = rows.map((cells) => {
    const shown = cells.map((text, column) =>
      column === 0 ? `<th scope="row">${escaped(text)}</th>` : `<td${kind(column)}>${escaped(text)}</td>`,
    );
    return `<tr>${shown.join("")}</tr>`;
  });
  return `<div class="scroll"><table>${caption && `<caption>${escaped(caption)}</caption>`}
<thead><tr>${head.join("")}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
}
