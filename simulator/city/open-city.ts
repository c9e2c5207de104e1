/**
 * The city that a run asked for: drawn from a seed, or read from an inventory.
 */

import { statSync } from "node:fs";
import { basename, extname } from "node:path";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import type { City } from "./city.ts";
import type { ColumnMapping } from "./columns.ts";
import { type CityRequest, generateCity } from "./generate.ts";
import { cityFromCsv, cityFromGeoJson, type InventoryOptions } from "./inventory.ts";

/** Largest inventory read, bytes. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;

interface CitySource {
  /** A seed in digits, or the path of a .csv, .geojson or .json file; null draws one from `seed`. */
  readonly city: string | null;
  readonly seed: number;
  /** Most lights taken: the ones nearest to the middle. */
  readonly lights: number;
  readonly mapping: ColumnMapping;
  /** Where a drawn city lies. */
  readonly place?: CityRequest["place"];
}

/** Throws one line about the file, or about a number out of range. */
export function openCity({ city, seed, lights, mapping, place }: CitySource): City {
  if (city === null || /^\d{1,10}$/.test(city)) {
    const request = { lights, seed: city === null ? seed : Number(city) };
    return generateCity(place === undefined ? request : { ...request, place });
  }
  const read = readInventory(city, { file: basename(city), mapping, seed });
  return { ...read, lights: read.lights.slice(0, lights) };
}

function readInventory(path: string, options: InventoryOptions): City {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile())
    throw new Watt402Error(
      "file-invalid",
      `city ${path}: expected a seed or a .csv or .geojson file, found no file`,
    );
  const text = readText(path, `city ${path}`, FILE_BYTES_MAX);
  const extension = extname(path).toLowerCase();
  if (extension === ".csv" || extension === ".tsv") return cityFromCsv(text, options);
  if (extension === ".geojson" || extension === ".json") return cityFromGeoJson(text, options);
  throw new Watt402Error(
    "file-invalid",
    `city ${path}: expected a name that ends in .csv, .tsv, .geojson or .json, found "${extension}"`,
  );
}
