/**
 * A city from a municipality's own inventory of lights: CSV, or GeoJSON points.
 *
 * Promise: every light of the file is in the city or an error says which line or feature, which column,
 * what was expected and what was found. What an inventory does not contain is drawn from the seed.
 */

import { shown } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import type { City, CityLight } from "./city.ts";
import { type ColumnKind, type ColumnMapping, findColumns } from "./columns.ts";
import { readCsv } from "./csv.ts";
import { feederName } from "./generate.ts";
import { type Feature, readFeatures } from "./geojson.ts";
import { seededRandom } from "./random.ts";
import { drawFitting, drawRoad, type RoadFitting, roadClassOf } from "./roads.ts";
import { nauticalZone } from "./sun.ts";

/** Lights read from one file at most. */
export const INVENTORY_LIGHTS_MAX = 1_000_000;

/** Strongest lamp believed, watts: more is a mistaken unit. */
const WATTS_MAX = 2_000;

export interface InventoryOptions {
  /** The file's name, for complaints and for the city. */
  readonly file: string;
  readonly mapping: ColumnMapping;
  /** Draws what the inventory does not contain. */
  readonly seed: number;
  /** IANA name; by longitude when absent. */
  readonly timeZone?: string;
}

/** One light as a file describes it, not yet parsed. */
interface Entry {
  /** "line 12" or "feature 3". */
  readonly where: string;
  readonly cell: (kind: ColumnKind) => { readonly column: string; readonly text: string } | null;
}

/** @param text a header and one light a line; coordinates in WGS 84 degrees */
export function cityFromCsv(text: string, options: InventoryOptions): City {
  const { header, rows } = readCsv(text, options.file);
  const columns = findColumns(header, options.mapping, ["latitude", "longitude"], `${options.file} line 1`);
  const index = new Map(header.map((name, at) => [name, at]));
  const entries = rows.map(({ line, fields }): Entry => {
    const cell = (kind: ColumnKind) => {
      const column = columns[kind];
      return column === undefined ? null : { column, text: fields[index.get(column)!]!.trim() };
    };
    return { where: `line ${line}`, cell };
  });
  return cityOf(entries, options);
}

/** @param text a FeatureCollection of points (RFC 7946: longitude, latitude, WGS 84) */
export function cityFromGeoJson(text: string, options: InventoryOptions): City {
  const features = readFeatures(text, options.file);
  const present = [...new Set(features.flatMap(({ properties }) => Object.keys(properties)))];
  const columns = findColumns(present, options.mapping, [], `${options.file} properties`);
  return cityOf(
    features.map((feature, index) => entryOf(feature, index, columns)),
    options,
  );
}

function entryOf({ longitude, latitude, properties }: Feature, index: number, columns: ColumnMapping): Entry {
  const cell = (kind: ColumnKind) => {
    if (kind === "latitude") return { column: "coordinates[1]", text: String(latitude) };
    if (kind === "longitude") return { column: "coordinates[0]", text: String(longitude) };
    const column = columns[kind];
    if (column === undefined) return null;
    return { column, text: String(properties[column] ?? "").trim() };
  };
  return { where: `feature ${index + 1}`, cell };
}

function cityOf(entries: readonly Entry[], options: InventoryOptions): City {
  const { file, seed } = options;
  if (entries.length === 0)
    throw new Watt402Error("file-invalid", `${file}: expected at least one light, found none`);
  if (entries.length > INVENTORY_LIGHTS_MAX) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: expected at most ${INVENTORY_LIGHTS_MAX} lights, found ${entries.length}`,
    );
  }
  const draw = seededRandom(seed);
  const seen = new Map<string, string>();
  const onStreet = new Map<string, number>();
  const roads = new Map<string, RoadFitting>();
  const lights = entries.map((entry, index): CityLight => {
    const latitude = degreesOf(entry, "latitude", 90, file);
    const longitude = degreesOf(entry, "longitude", 180, file);
    const ratedMilliwatts = milliwattsOf(entry, file);
    // Without a wattage a side street's lamp is the likeliest.
    const roadClass = ratedMilliwatts === null ? "residential" : roadClassOf(ratedMilliwatts);
    const street = entry.cell("street")?.text || "no street given";
    const nth = onStreet.get(street) ?? 0;
    onStreet.set(street, nth + 1);
    const road = roads.get(street) ?? drawRoad(roadClass, draw);
    roads.set(street, road);
    return {
      name: nameOf(entry, index, seen, file),
      street,
      feeder: entry.cell("feeder")?.text || feederName(street, nth),
      roadClass,
      latitude,
      longitude,
      ...drawFitting(ratedMilliwatts === null ? road : { ...road, ratedMilliwatts }, draw),
    };
  });
  return middleFirst(lights, options);
}

function nameOf(entry: Entry, index: number, seen: Map<string, string>, file: string): string {
  const cell = entry.cell("name");
  const name = cell?.text || `light-${index + 1}`;
  const before = seen.get(name);
  if (before !== undefined) {
    throw new Watt402Error(
      "file-invalid",
      `${file} ${entry.where}, column "${cell?.column}": expected a name of its own, found ${shown(name)} as on ${before}`,
    );
  }
  seen.set(name, entry.where);
  return name;
}

function degreesOf(entry: Entry, kind: "latitude" | "longitude", most: number, file: string): number {
  const { column, text } = entry.cell(kind)!;
  const value = text === "" ? Number.NaN : Number(text);
  if (Math.abs(value) <= most) return value;
  throw new Watt402Error(
    "file-invalid",
    `${file} ${entry.where}, column "${column}": expected a ${kind} in degrees (WGS 84), -${most}..${most}, found ${shown(text)}`,
  );
}

/** Null when the inventory does not contain it. */
function milliwattsOf(entry: Entry, file: string): number | null {
  const cell = entry.cell("watts");
  if (cell === null || cell.text === "") return null;
  const [, digits] = /^(\d+(?:\.\d+)?)\s*W?$/i.exec(cell.text) ?? [];
  const watts = Number(digits);
  if (watts > 0 && watts <= WATTS_MAX) return Math.round(1000 * watts);
  throw new Watt402Error(
    "file-invalid",
    `${file} ${entry.where}, column "${cell.column}": expected a power in watts, above 0 to ${WATTS_MAX}, found ${shown(cell.text)}`,
  );
}

function middleFirst(lights: readonly CityLight[], { file, seed, timeZone }: InventoryOptions): City {
  const middle = (of: (light: CityLight) => number) =>
    lights.map(of).toSorted((left, right) => left - right)[lights.length >> 1]!;
  const latitude = middle((light) => light.latitude);
  const longitude = middle((light) => light.longitude);
  const width = Math.cos((latitude * Math.PI) / 180);
  const far = new Map(
    lights.map((light) => [
      light,
      Math.hypot(light.latitude - latitude, (light.longitude - longitude) * width),
    ]),
  );
  return {
    name: file,
    seed,
    latitude,
    longitude,
    timeZone: timeZone ?? nauticalZone(longitude),
    lights: lights.toSorted((left, right) => far.get(left)! - far.get(right)!),
  };
}
