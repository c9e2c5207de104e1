/**
 * The locations of lights: a list that the operator keeps, device, name, latitude, longitude.
 *
 * Promise: the error about a wrong line names its number; a device that is not on the list has no location, and
 * is drawn in a grid instead.
 */

import { cut, shown } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import { isDeviceName } from "#protocol/topics";

export interface Location {
  readonly name: string;
  /** Degrees north, -90..90. */
  readonly latitude: number;
  /** Degrees east, -180..180. */
  readonly longitude: number;
}

const COLUMNS = "device,name,latitude,longitude";
const NAME_MAX = 64;
/** Of a line, characters. */
const LINE_MAX = 1_000;

/** Reads CSV with the header `device,name,latitude,longitude`; quotes as in RFC 4180. Throws on the first wrong line. */
export function readLocations(csv: string, source: string): ReadonlyMap<string, Location> {
  const locations = new Map<string, Location>();
  const [header, ...lines] = csv.replace(/^\uFEFF/, "").split(/\r?\n/);
  if (header?.replaceAll(" ", "").toLowerCase() !== COLUMNS) {
    throw new Watt402Error(
      "file-invalid",
      `${source}: line 1: expected the header ${COLUMNS}, found ${shown(header)}`,
    );
  }
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const wrong = (what: string) => new Watt402Error("file-invalid", `${source}: line ${index + 2}: ${what}`);
    if (line.length > LINE_MAX) throw wrong(`expected at most ${LINE_MAX} characters, found ${line.length}`);
    const fields = fieldsOf(line);
    if (fields.length !== 4) throw wrong(`expected 4 fields (${COLUMNS}), found ${fields.length}`);
    const [name40, name, latitudeText, longitudeText] = fields as [string, string, string, string];
    const device = name40.toLowerCase().replace(/^0x/, "");
    if (!isDeviceName(device)) throw wrong(`expected a device's address, found ${shown(name40)}`);
    const latitude = degreesOf(latitudeText, 90);
    const longitude = degreesOf(longitudeText, 180);
    if (latitude === null || longitude === null) {
      throw wrong(`expected degrees within 90 and 180, found ${cut(latitudeText)}, ${cut(longitudeText)}`);
    }
    if (locations.has(device)) throw wrong(`expected each device once, found ${device} again`);
    locations.set(device, { name: name.slice(0, NAME_MAX), latitude, longitude });
  }
  return locations;
}

function fieldsOf(line: string): string[] {
  const fields = [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"\s*(?=,|$)|([^,]*))/g)];
  return fields.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain!.trim());
}

function degreesOf(text: string, max: number): number | null {
  const degrees = text === "" ? Number.NaN : Number(text);
  return Number.isFinite(degrees) && Math.abs(degrees) <= max ? degrees : null;
}
