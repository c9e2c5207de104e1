/**
 * The map: every light a point on one canvas, at its location or in a grid by name.
 *
 * Promise: drawn only when something changed; no tiles are fetched from anywhere; what matters is drawn
 * last and by shape, not by colour alone.
 */
import type { Condition } from "../../telemetry/labels.ts";
import { colour, find } from "../element.ts";
import type { Light, Store } from "../live-view.ts";
import { Camera, type Point } from "./map-camera.ts";
import { listenTo } from "./map-input.ts";
import { type Layout, layOut } from "./map-layout.ts";

const PICK_PIXELS = 16;

/** Painted in this order: what needs attention comes on top. */
const PAINT_ORDER: readonly Condition[] = ["dark", "new", "lit", "lost", "starved"];

/** More lights than this are points without a glow. */
const GLOW_LIGHTS_MAX = 1_500;

export class LightMap {
  readonly #store: Store;
  readonly #canvas = find<HTMLCanvasElement>("map");
  readonly #camera = new Camera(this.#canvas);
  readonly #pen = this.#canvas.getContext("2d")!;
  /** Two numbers a light, in the unit square. */
  #points: Layout["points"] = new Float64Array(0);
  /** The store's `born` that the points are of; -1: of none. */
  #born = -1;
  #condition: Condition | null = null;
  #selected: string | null = null;

  constructor(store: Store, opens: (device: string) => void) {
    this.#store = store;
    listenTo(
      this.#canvas,
      this.#camera,
      () => this.draw(),
      (x, y) => {
        const light = this.#lightAt(x, y);
        if (light !== null) opens(light.device);
      },
    );
    new ResizeObserver(() => {
      this.#born = -1;
      this.draw();
    }).observe(this.#canvas);
  }

  show(condition: Condition | null): void {
    this.#condition = condition;
    this.draw();
  }

  select(device: string | null): void {
    this.#selected = device;
    this.draw();
  }

  draw(): void {
    const { lights } = this.#store;
    if (this.#born !== this.#store.born) this.#layOut();
    this.#clear();
    const spacing =
      (this.#camera.scale * Math.sqrt(this.#camera.aspect)) / Math.sqrt(Math.max(1, lights.length));
    const radius = Math.max(1.4, Math.min(9, spacing * 0.22));
    const at = this.#projection();
    for (const condition of PAINT_ORDER) this.#paint(condition, radius, at);
    const chosen = lights.find(({ device }) => device === this.#selected);
    if (chosen !== undefined) this.#ring(at(chosen), Math.max(radius * 2.2, 9));
  }

  #layOut(): void {
    this.#born = this.#store.born;
    const { clientWidth, clientHeight } = this.#canvas;
    const { points, aspect, note } = layOut(this.#store.lights, clientWidth / Math.max(1, clientHeight));
    this.#points = points;
    this.#camera.aspect = aspect;
    find("map-note").textContent = note;
  }

  #clear(): void {
    const ratio = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== wide || this.#canvas.height !== high) {
      this.#canvas.width = wide;
      this.#canvas.height = high;
    }
    this.#pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#pen.clearRect(0, 0, width, height);
  }

  #projection(): (light: Light) => Point {
    const at = this.#camera.projection();
    return ({ index }) => at(this.#points[2 * index]!, this.#points[2 * index + 1]!);
  }

  #paint(condition: Condition, radius: number, at: (light: Light) => Point): void {
    const pen = this.#pen;
    const ink = colour(condition);
    const isFaded = this.#condition !== null && this.#condition !== condition;
    const lights = this.#store.lights.filter((light) => light.condition === condition);
    const glows = condition === "lit" && !isFaded && this.#store.lights.length <= GLOW_LIGHTS_MAX;
    if (glows) this.#glow(lights, radius, ink, at);
    pen.globalAlpha = isFaded ? 0.12 : 1;
    pen.fillStyle = ink;
    pen.strokeStyle = ink;
    pen.lineWidth = Math.max(1, radius * 0.45);
    pen.beginPath();
    for (const light of lights) {
      const [x, y] = at(light);
      if (condition === "starved") {
        const half = Math.max(3, radius * 1.15);
        pen.rect(x - half, y - half, 2 * half, 2 * half);
      } else {
        const size = condition === "lost" ? Math.max(2.6, radius) : radius;
        pen.moveTo(x + size, y);
        pen.arc(x, y, size, 0, 2 * Math.PI);
      }
    }
    if (condition === "lost") pen.stroke();
    else pen.fill();
    pen.globalAlpha = 1;
  }

  #glow(lights: readonly Light[], radius: number, ink: string, at: (light: Light) => Point): void {
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
      this.#pen.globalAlpha = Math.max(0.25, light.levelPercent / 100);
      this.#pen.drawImage(sprite, x - size, y - size);
    }
  }

  #ring([x, y]: Point, radius: number): void {
    this.#pen.strokeStyle = colour("text");
    this.#pen.lineWidth = 2;
    this.#pen.beginPath();
    this.#pen.arc(x, y, radius, 0, 2 * Math.PI);
    this.#pen.stroke();
  }

  #lightAt(x: number, y: number): Light | null {
    const at = this.#projection();
    let [best, nearest]: [Light | null, number] = [null, PICK_PIXELS ** 2];
    for (const light of this.#store.lights) {
      const [lightX, lightY] = at(light);
      const distance = (lightX - x) ** 2 + (lightY - y) ** 2;
      if (distance < nearest) [best, nearest] = [light, distance];
    }
    return best;
  }
}
