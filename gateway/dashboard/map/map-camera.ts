/**
 * Where the map looks: its zoom and its shift, and the pixels at which a point of the unit square is drawn.
 *
 * Promise: the point under the pointer stays there while the map is zoomed.
 */

export type Point = readonly [number, number];

const ZOOM_MAX = 200;
const MARGIN_PIXELS = 58;

export class Camera {
  readonly #canvas: HTMLCanvasElement;
  /** Width by height of what the unit square shows. */
  aspect = 1;
  #zoom = 1;
  #pan: Point = [0, 0];

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  /** Pixels of the unit square's height. */
  get scale(): number {
    const { clientWidth, clientHeight } = this.#canvas;
    const fit = Math.min((clientWidth - 2 * MARGIN_PIXELS) / this.aspect, clientHeight - 2 * MARGIN_PIXELS);
    return Math.max(10, fit) * this.#zoom;
  }

  /** The function from the unit square to pixels, as long as nothing moves. */
  projection(): (x: number, y: number) => Point {
    const { clientWidth, clientHeight } = this.#canvas;
    const { scale } = this;
    const left = clientWidth / 2 + this.#pan[0] - (scale * this.aspect) / 2;
    const top = clientHeight / 2 + this.#pan[1] - scale / 2;
    return (x, y) => [left + x * scale * this.aspect, top + y * scale];
  }

  panBy(dx: number, dy: number): void {
    this.#pan = [this.#pan[0] + dx, this.#pan[1] + dy];
  }

  zoomBy(factor: number, x = this.#canvas.clientWidth / 2, y = this.#canvas.clientHeight / 2): void {
    const before = this.#zoom;
    this.#zoom = Math.min(ZOOM_MAX, Math.max(1, before * factor));
    const [panX, panY] = this.#pan;
    const [fromX, fromY] = [
      x - this.#canvas.clientWidth / 2 - panX,
      y - this.#canvas.clientHeight / 2 - panY,
    ];
    const kept = 1 - this.#zoom / before;
    this.#pan = this.#zoom === 1 ? [0, 0] : [panX + fromX * kept, panY + fromY * kept];
  }

  /** Shows the whole fleet again. */
  fit(): void {
    this.#zoom = 1;
    this.#pan = [0, 0];
  }
}
