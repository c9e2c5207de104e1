/**
 * A map of sellers as GeoJSON (RFC 7946): its lines, in the file's order, are the route; those with the property
 * `tunnel` have no link; areas with the property `seller` are regions, numbered from 1.
 *
 * Promise: a file that is something else is refused with the feature where it stops being one, by what was expected and a
 * bounded piece of what was found; so is a route that no seller's region touches. What is written is read back the same.
 */
import { z } from "zod";
import { cut } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { metresBetween, type Point } from "./geo-shapes.ts";
import { type Region, type RoutePiece, SELLERS_MAX, type SellersMap } from "./sellers-map.ts";
import { stretchesOf } from "./stretches.ts";

/** Of a file, bytes. */
export const MAP_BYTES_MAX = 16 * 1024 * 1024;

const FEATURES_MAX = 10_000;
const POINTS_MAX = 200_000;
/** A route goes on where it was, within the precision with which people draw. */
const JOINT_METRES = 50;
const LENGTH_MAX_METRES = 2_000_000;

const position = z
  .array(z.number())
  .min(2)
  .max(3)
  .refine(([longitude, latitude]) => Math.abs(longitude!) <= 180 && Math.abs(latitude!) <= 90, {
    message: "expected longitude and latitude in degrees",
  })
  .transform(([longitude, latitude]): Point => [longitude!, latitude!]);

const FEATURE = z.object({
  type: z.literal("Feature"),
  geometry: z.discriminatedUnion("type", [
    z.object({ type: z.literal("LineString"), coordinates: z.array(position).min(2) }),
    z.object({ type: z.literal("Polygon"), coordinates: z.array(z.array(position).min(4)).min(1) }),
  ]),
  properties: z
    .object({
      /** As OpenStreetMap has it, or a flag. */
      tunnel: z.union([z.string(), z.boolean()]).nullish(),
      seller: z.int().min(1).max(SELLERS_MAX).nullish(),
    })
    .nullish(),
});

const COLLECTION = z.object({ type: z.literal("FeatureCollection"), features: z.array(z.unknown()).min(1) });

/** @param file its name, for complaints */
export function readMap(text: string, file: string): SellersMap {
  const route: RoutePiece[] = [];
  const regions: Region[] = [];
  let points = 0;
  for (const [index, found] of featuresIn(text, file).entries()) {
    const where = `${file} feature ${index + 1}`;
    const feature = FEATURE.safeParse(found);
    if (!feature.success) throw refused(where, complaint(feature.error));
    const { geometry, properties } = feature.data;
    if (geometry.type === "Polygon") {
      const seller = properties?.seller;
      if (!seller)
        throw refused(where, `expected the property "seller", 1 to ${SELLERS_MAX}, of an area, found none`);
      points += geometry.coordinates.reduce((sum, ring) => sum + ring.length, 0);
      regions.push({ seller: seller - 1, rings: geometry.coordinates });
    } else {
      points += geometry.coordinates.length;
      route.push(pieceOf(geometry.coordinates, properties?.tunnel, route.at(-1), where));
    }
    if (points > POINTS_MAX) throw refused(where, `expected at most ${POINTS_MAX} points, found more`);
  }
  return checked({ route, regions, sellers: Math.max(0, ...regions.map(({ seller }) => seller + 1)) }, file);
}

export function mapGeoJson({ route, regions }: SellersMap): string {
  const feature = (type: string, coordinates: unknown, properties: object) =>
    JSON.stringify({ type: "Feature", geometry: { type, coordinates }, properties });
  const features = [
    ...route.map(({ points, isTunnel }) => feature("LineString", points, isTunnel ? { tunnel: "yes" } : {})),
    ...regions.map(({ seller, rings }) => feature("Polygon", rings, { seller: seller + 1 })),
  ];
  return `{"type":"FeatureCollection","features":[\n${features.join(",\n")}\n]}\n`;
}

function featuresIn(text: string, file: string): readonly unknown[] {
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (error) {
    throw refused(file, `expected GeoJSON, found ${cut((error as Error).message, 120)}`);
  }
  const collection = COLLECTION.safeParse(document);
  if (!collection.success) throw refused(file, complaint(collection.error));
  const { features } = collection.data;
  if (features.length <= FEATURES_MAX) return features;
  throw refused(file, `expected at most ${FEATURES_MAX} features, found ${features.length}`);
}

function pieceOf(
  points: readonly Point[],
  tunnel: string | boolean | null | undefined,
  before: RoutePiece | undefined,
  where: string,
): RoutePiece {
  const isTunnel = tunnel === true || (typeof tunnel === "string" && tunnel !== "no");
  const end = before?.points.at(-1);
  const [begin] = points as readonly [Point];
  if (end === undefined) return { points, isTunnel };
  const gap = metresBetween(end, begin);
  if (!(gap <= JOINT_METRES)) {
    const expected = `expected it to begin within ${JOINT_METRES} m of where the line before ends`;
    throw refused(where, `${expected}, found ${Math.round(gap)} m`);
  }
  return { points: gap === 0 ? points : [end, ...points], isTunnel };
}

/** A route that can be driven, where something can be bought. */
function checked(map: SellersMap, file: string): SellersMap {
  if (map.route.length === 0) throw refused(file, "expected a route of at least one LineString, found none");
  if (map.regions.length === 0) throw refused(file, 'expected areas with the property "seller", found none');
  const metres = map.route.reduce((sum, { points }) => sum + lengthOf(points), 0);
  if (!(metres >= 1 && metres <= LENGTH_MAX_METRES)) {
    throw refused(
      file,
      `expected a route of 1 m to ${LENGTH_MAX_METRES / 1_000} km, found ${Math.round(metres)} m`,
    );
  }
  const sold = new Set(stretchesOf(map).flatMap(({ seller, isTunnel }) => (isTunnel ? [] : [seller])));
  for (let seller = 0; seller < map.sellers; seller += 1) if (sold.has(seller)) return map;
  throw refused(
    file,
    "expected a route through the region of a seller, in the open, found all of it outside",
  );
}

function lengthOf(points: readonly Point[]): number {
  return points.slice(1).reduce((sum, point, index) => sum + metresBetween(points[index]!, point), 0);
}

function complaint(error: z.ZodError): string {
  const [issue] = error.issues;
  return `member "${cut(issue!.path.join(".")) || "type"}": ${cut(issue!.message, 200)}`;
}

function refused(where: string, what: string): Watt402Error {
  return new Watt402Error("file-invalid", `${cut(where, 200)}: ${what}`);
}
