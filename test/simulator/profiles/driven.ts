/** A short route through the regions of two sellers, with a tunnel over their border, as a file. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const SHORT_ROUTE = {
  type: "FeatureCollection",
  features: [
    line([13.4, 52.5], [13.412, 52.5]),
    { ...line([13.412, 52.5], [13.416, 52.5]), properties: { tunnel: "yes" } },
    line([13.416, 52.5], [13.428, 52.5]),
    area(1, 13.39, 13.414),
    area(2, 13.414, 13.44),
  ],
};

/** @returns the file's name */
export function writeRoute(folder: string, document: unknown = SHORT_ROUTE): string {
  const file = join(folder, "route.geojson");
  writeFileSync(file, typeof document === "string" ? document : JSON.stringify(document));
  return file;
}

export function line(...coordinates: readonly (readonly number[])[]) {
  return { type: "Feature", geometry: { type: "LineString", coordinates }, properties: {} };
}

export function area(seller: number, west: number, east: number) {
  const [south, north] = [52.4, 52.6];
  const ring = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ];
  return { type: "Feature", geometry: { type: "Polygon", coordinates: [ring] }, properties: { seller } };
}
