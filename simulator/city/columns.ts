/**
 * Which columns of an inventory hold what: as given, or by the names that inventories commonly use.
 *
 * Promise: a column that was named and is not there is an error that lists those that are.
 */

import { cut } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";

/** What a light's inventory may contain; latitude and longitude are needed unless the geometry has them. */
const COLUMN_KINDS = ["name", "latitude", "longitude", "watts", "street", "feeder"] as const;
export type ColumnKind = (typeof COLUMN_KINDS)[number];

/** Names of columns by what they hold. */
export type ColumnMapping = Readonly<Partial<Record<ColumnKind, string>>>;

const USUAL_NAMES: Readonly<Record<ColumnKind, readonly string[]>> = {
  name: ["name", "id", "objectid", "asset_id", "assetid", "light_id", "lamp_id", "fid"],
  latitude: ["latitude", "lat", "y", "ycoord"],
  longitude: ["longitude", "lon", "lng", "long", "x", "xcoord"],
  watts: ["watts", "wattage", "wattage1", "power", "power_w", "leistung", "watt"],
  street: ["street", "streetname", "street_name", "road", "road_name", "strasse"],
  feeder: ["feeder", "cabinet", "circuit", "feeder_id"],
};

/** `latitude=YCOORD,watts=WATTAGE1`. Throws on anything else. */
export function readMapping(text: string): ColumnMapping {
  const mapping: Partial<Record<ColumnKind, string>> = {};
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const kind = COLUMN_KINDS.find((known) => known === part.slice(0, Math.max(0, equals)).trim());
    const column = part.slice(equals + 1).trim();
    if (kind === undefined || column === "") {
      throw new Watt402Error(
        "file-invalid",
        `column mapping: expected KIND=COLUMN with one of ${COLUMN_KINDS.join(", ")}, found "${part.trim()}"`,
      );
    }
    mapping[kind] = column;
  }
  return mapping;
}

/** The columns to read, of those there are. @param where the file, and for complaints where its columns are named */
export function findColumns(
  present: readonly string[],
  mapping: ColumnMapping,
  needed: readonly ColumnKind[],
  where: string,
): ColumnMapping {
  const found: Partial<Record<ColumnKind, string>> = {};
  for (const kind of COLUMN_KINDS) {
    const given = mapping[kind];
    const column =
      given === undefined
        ? present.find((name) => USUAL_NAMES[kind].includes(name.toLowerCase()))
        : present.find((name) => name === given);
    if (column !== undefined) found[kind] = column;
    else if (given !== undefined) {
      throw new Watt402Error(
        "file-invalid",
        `${where}: expected a column "${given}" for ${kind}, found ${listed(present)}`,
      );
    } else if (needed.includes(kind)) {
      throw new Watt402Error(
        "file-invalid",
        `${where}: expected a column for ${kind} (${USUAL_NAMES[kind].join(", ")}), found ${listed(present)}; ` +
          `name it by --columns ${kind}=COLUMN`,
      );
    }
  }
  return found;
}

const LISTED_MAX = 20;

function listed(names: readonly string[]): string {
  if (names.length === 0) return "none";
  const rest = names.length > LISTED_MAX ? ` and ${names.length - LISTED_MAX} more` : "";
  return `${names
    .slice(0, LISTED_MAX)
    .map((name) => cut(name, 40))
    .join(", ")}${rest}`;
}
