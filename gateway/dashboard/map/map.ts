/**
 * The map: every light a point on one canvas, where it stands or in a grid by name.
 *
 * Promise: drawn only when something changed; no tiles are fetched from anywhere; what matters is drawn
 * last and by shape, not by colour alone.
 */
import type { Condition } from "../../telemetry/labels.ts";
import { colour, find } from "../element.ts";
import type { Light, Store } from "../store.ts";

const ZOOM_STEP = 1.5;
const ZOOM_MAX = 200;
const PICK_PIXELS = 16;
const MARGIN_PIXELS = 58;
const PAN_PIXELS = 60;

/** Painted in this order: what needs somebody comes on top. */
const PAINT_ORDER: readonly Condition[] = ["dark", "new", "lit", "lost", "starved"];

/** More lights than this are points without a glow. */
const GLOW_LIGHTS_MAX = 1_500;

export function openMap(store: Store, opens: (device: string) => void) {
  const canvas = find<HTMLCanvasElement>("map");
  const note = find("map-note");
  const pen = canvas.getContext("2d")!;
  /** Two numbers a light, in the unit square. */
  let places = new Float64Array(0);
  let aspect = 1;
  let born = -1;
  let [zoom, panX, panY] = [1, 0, 0];
  let condition: Condition | null = null;
  let selected: string | null = null;

  function place(): void {
    born = store.born;
    const { lights } = store;
    places = new Float64Array(lights.length * 2);
    const placed = lights.filter(({ latitude }) => latitude !== null);
    const isMap = placed.length > 0;
    aspect = isMap ? placeOnEarth(placed, places) : 1;
    const others = isMap ? lights.filter(({ latitude }) => latitude === null) : [...lights];
    if (!isMap) aspect = canvas.clientWidth / Math.max(1, canvas.clientHeight);
    placeInGrid(others, places, aspect, isMap);
    const without = isMap && others.length > 0 ? ` · ${others.length} below are on no list of places` : "";
    note.textContent = isMap ? `${placed.length} lights where they stand${without}` : "a grid, by name";
  }

  function scaleOf(): { readonly scale: number; readonly left: number; readonly top: number } {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const fit = Math.min((width - 2 * MARGIN_PIXELS) / aspect, height - 2 * MARGIN_PIXELS);
    const scale = Math.max(10, fit) * zoom;
    return { scale, left: width / 2 + panX - (scale * aspect) / 2, top: height / 2 + panY - scale / 2 };
  }

  function draw(): void {
    if (born !== store.born) place();
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const { scale, left, top } = scaleOf();
    const spacing = (scale * Math.sqrt(aspect)) / Math.sqrt(Math.max(1, store.lights.length));
    const radius = Math.max(1.4, Math.min(9, spacing * 0.22));
    const at = (light: Light): readonly [number, number] => [
      left + places[2 * light.index]! * scale * aspect,
      top + places[2 * light.index + 1]! * scale,
    ];
    for (const kind of PAINT_ORDER) paint(kind, radius, at);
    const chosen = store.lights.find(({ device }) => device === selected);
    if (chosen !== undefined) ring(at(chosen), Math.max(radius * 2.2, 9));
  }

  function paint(kind: Condition, radius: number, at: (light: Light) => readonly [number, number]): void {
    const ink = colour(kind);
    const isFaded = condition !== null && condition !== kind;
    const lights = store.lights.filter((light) => light.condition === kind);
    pen.globalAlpha = isFaded ? 0.12 : 1;
    if (kind === "lit" && !isFaded && store.lights.length <= GLOW_LIGHTS_MAX) glow(lights, radius, ink, at);
    pen.fillStyle = ink;
    pen.strokeStyle = ink;
    pen.lineWidth = Math.max(1, radius * 0.45);
    pen.beginPath();
    for (const light of lights) {
      const [x, y] = at(light);
      if (kind === "starved") {
        const half = Math.max(3, radius * 1.15);
        pen.rect(x - half, y - half, 2 * half, 2 * half);
      } else {
        const size = kind === "lost" ? Math.max(2.6, radius) : radius;
        pen.moveTo(x + size, y);
        pen.arc(x, y, size, 0, 2 * Math.PI);
      }
    }
    if (kind === "lost") pen.stroke();
    else pen.fill();
    pen.globalAlpha = 1;
  }

  function glow(
    lights: readonly Light[],
    radius: number,
    ink: string,
    at: (light: Light) => readonly [number, number],
  ): void {
    const size = Math.ceil(radius * 5);
    const sprite = document.createElement("canvas");
    sprite.width = sprite.height = 2 * size;
    const brush = sprite.getContext("2d")!;
    const shade = brush.createRadialGradient(size, size, 0, size, size, size);
    shade.addColorStop(0, ink);
    shade.addColorStop(1, `${ink}00`);
    brush.globalAlpha = 0.34;
    brush.fillStyle = shade;
    brush.fillRect(0, 0, 2 * size, 2 * size);
    for (const light of lights) {
      const [x, y] = at(light);
      pen.globalAlpha = Math.max(0.25, light.levelPercent / 100);
      pen.drawImage(sprite, x - size, y - size);
    }
    pen.globalAlpha = 1;
  }

  function ring([x, y]: readonly [number, number], radius: number): void {
    pen.strokeStyle = colour("text");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  }

  function lightAt(x: number, y: number): Light | null {
    const { scale, left, top } = scaleOf();
    let [best, nearest]: [Light | null, number] = [null, PICK_PIXELS ** 2];
    for (const light of store.lights) {
      const dx = left + places[2 * light.index]! * scale * aspect - x;
      const dy = top + places[2 * light.index + 1]! * scale - y;
      const distance = dx * dx + dy * dy;
      if (distance < nearest) [best, nearest] = [light, distance];
    }
    return best;
  }

  function zoomBy(factor: number, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2): void {
    const before = zoom;
    zoom = Math.min(ZOOM_MAX, Math.max(1, zoom * factor));
    const [fromX, fromY] = [x - canvas.clientWidth / 2 - panX, y - canvas.clientHeight / 2 - panY];
    panX += fromX * (1 - zoom / before);
    panY += fromY * (1 - zoom / before);
    if (zoom === 1) [panX, panY] = [0, 0];
    draw();
  }

  const fingers = new Map<number, { x: number; y: number }>();
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    dragged = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (before === undefined) return;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    const [dx, dy] = [event.offsetX - before.x, event.offsetY - before.y];
    if (other !== undefined) {
      const span = (point: { x: number; y: number }) => Math.hypot(point.x - other.x, point.y - other.y);
      zoomBy(span({ x: event.offsetX, y: event.offsetY }) / Math.max(1, span(before)), other.x, other.y);
    } else {
      panX += dx;
      panY += dy;
      draw();
    }
    dragged += Math.abs(dx) + Math.abs(dy);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  });
  const lift = (event: PointerEvent) => {
    if (!fingers.delete(event.pointerId) || event.type === "pointercancel" || dragged > 6) return;
    const light = lightAt(event.offsetX, event.offsetY);
    if (light !== null) opens(light.device);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const pans: Readonly<Record<string, readonly [number, number]>> = {
      ArrowLeft: [PAN_PIXELS, 0],
      ArrowRight: [-PAN_PIXELS, 0],
      ArrowUp: [0, PAN_PIXELS],
      ArrowDown: [0, -PAN_PIXELS],
    };
    const pan = pans[event.key];
    if (pan !== undefined) {
      panX += pan[0];
      panY += pan[1];
      draw();
    } else if (event.key === "+" || event.key === "=") zoomBy(ZOOM_STEP);
    else if (event.key === "-") zoomBy(1 / ZOOM_STEP);
    else return;
    event.preventDefault();
  });
  find("zoom-in").addEventListener("click", () => zoomBy(ZOOM_STEP));
  find("zoom-out").addEventListener("click", () => zoomBy(1 / ZOOM_STEP));
  find("zoom-fit").addEventListener("click", () => zoomBy(1 / ZOOM_MAX));
  new ResizeObserver(() => {
    born = -1;
    draw();
  }).observe(canvas);

  return {
    draw,
    show(wanted: Condition | null) {
      condition = wanted;
      draw();
    },
    select(device: string | null) {
      selected = device;
      draw();
    },
  };
}

/** Equirectangular around the middle of the fleet; returns width by height. */
function placeOnEarth(lights: readonly Light[], places: Float64Array): number {
  const latitudes = lights.map(({ latitude }) => latitude!);
  const longitudes = lights.map(({ longitude }) => longitude!);
  const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b));
  const [south, north, west, east] = [least(latitudes), most(latitudes), least(longitudes), most(longitudes)];
  const shrink = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const height = Math.max(north - south, 1e-6);
  const width = Math.max((east - west) * shrink, 1e-6);
  for (const { index, latitude, longitude } of lights) {
    places[2 * index] = east === west ? 0.5 : (longitude! - west) / (east - west);
    places[2 * index + 1] = north === south ? 0.5 : (north - latitude!) / height;
  }
  return Math.min(6, Math.max(1 / 6, width / height));
}

/** Fills the square by name, or a strip below it. */
function placeInGrid(lights: readonly Light[], places: Float64Array, aspect: number, isStrip: boolean): void {
  const sorted = lights.toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const columns = isStrip ? 80 : Math.max(1, Math.ceil(Math.sqrt(sorted.length * aspect)));
  const rows = Math.ceil(sorted.length / columns);
  for (const [i, { index }] of sorted.entries()) {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    places[2 * index] = (column + 0.5) / columns;
    places[2 * index + 1] = isStrip ? 1.03 + row * 0.02 : (row + 0.5) / rows;
  }
}
