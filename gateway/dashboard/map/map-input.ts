/**
 * The map by hand and by keyboard: drag, pinch, wheel, arrows, + and -, and the three buttons.
 *
 * Promise: a drag is no click; what the map has no key for is left to the browser.
 */
import { find } from "../element.ts";
import type { Camera } from "./map-camera.ts";

const ZOOM_STEP = 1.5;
const WHEEL_STEP = 1.2;
const PAN_PIXELS = 60;
/** Moved farther than this it is a drag. */
const CLICK_PIXELS = 6;

const PANS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [PAN_PIXELS, 0],
  ArrowRight: [-PAN_PIXELS, 0],
  ArrowUp: [0, PAN_PIXELS],
  ArrowDown: [0, -PAN_PIXELS],
};

interface Finger {
  readonly x: number;
  readonly y: number;
}

/**
 * @param moved called when the camera moved
 * @param clicked called with pixels of the canvas
 */
export function listenTo(
  canvas: HTMLCanvasElement,
  camera: Camera,
  moved: () => void,
  clicked: (x: number, y: number) => void,
): void {
  const zoom = (factor: number, x?: number, y?: number) => {
    camera.zoomBy(factor, x, y);
    moved();
  };
  listenToPointers(canvas, camera, moved, clicked);
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(event.deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP, event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const pan = PANS[event.key];
    if (pan !== undefined) {
      camera.panBy(...pan);
      moved();
    } else if (event.key === "+" || event.key === "=") zoom(ZOOM_STEP);
    else if (event.key === "-") zoom(1 / ZOOM_STEP);
    else return;
    event.preventDefault();
  });
  find("zoom-in").addEventListener("click", () => zoom(ZOOM_STEP));
  find("zoom-out").addEventListener("click", () => zoom(1 / ZOOM_STEP));
  find("zoom-fit").addEventListener("click", () => {
    camera.fit();
    moved();
  });
}

function listenToPointers(
  canvas: HTMLCanvasElement,
  camera: Camera,
  moved: () => void,
  clicked: (x: number, y: number) => void,
): void {
  const fingers = new Map<number, Finger>();
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    dragged = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (before === undefined) return;
    const now: Finger = { x: event.offsetX, y: event.offsetY };
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other === undefined) camera.panBy(now.x - before.x, now.y - before.y);
    else camera.zoomBy(distance(now, other) / Math.max(1, distance(before, other)), other.x, other.y);
    dragged += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    fingers.set(event.pointerId, now);
    moved();
  });
  const lift = (event: PointerEvent) => {
    const isClick = event.type !== "pointercancel" && dragged <= CLICK_PIXELS;
    if (fingers.delete(event.pointerId) && isClick) clicked(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
}

function distance(left: Finger, right: Finger): number {
  return Math.hypot(left.x - right.x, left.y - right.y);
}
