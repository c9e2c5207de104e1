/**
 * Points of a GeoJSON FeatureCollection (RFC 7946), and a city written as one.
 *
 * Promise: a file that is something else is refused with the feature and member where it stops being one.
 */

import { z } from "zod";
import { cut, shown } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { City } from "./city.ts";

export interface Feature {
  readonly longitude: number;
  readonly latitude: number;
  readonly properties: Readonly<Record<string, unknown>>;
}

const FEATURE = z.object({
  type: z.literal("Feature"),
  geometry: z.object({
    type: z.literal("Point"),
    coordinates: z.array(z.number()).min(2).max(3),
  }),
  properties: z.record(z.string(), z.unknown()).nullish(),
});

const COLLECTION = z.object({
  type: z.literal("FeatureCollection"),
  features: z.array(z.unknown()),
  crs: z.object({ properties: z.object({ name: z.string() }) }).optional(),
});

/** Names under which older files call WGS 84. */
const WGS_84 = /(:|^)(CRS84|4326)$/i;

/** @param file its name, for complaints */
export function readFeatures(text: string, file: string): Feature[] {
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (error) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: expected GeoJSON, found ${cut((error as Error).message, 120)}`,
    );
  }
  const collection = COLLECTION.safeParse(document);
  if (!collection.success) throw new Watt402Error("file-invalid", `${file}: ${complaint(collection.error)}`);
  const { crs, features } = collection.data;
  if (crs !== undefined && !WGS_84.test(crs.properties.name)) {
    throw new Watt402Error(
      "file-invalid",
      `${file}, member "crs": expected WGS 84 (CRS84), found ${shown(crs.properties.name)}; transform it first`,
    );
  }
  return features.map((found, index) => {
    const feature = FEATURE.safeParse(found);
    if (!feature.success)
      throw new Watt402Error("file-invalid", `${file} feature ${index + 1}: ${complaint(feature.error)}`);
    const { geometry, properties } = feature.data;
    const [longitude, latitude] = geometry.coordinates;
    return { longitude: longitude!, latitude: latitude!, properties: properties ?? {} };
  });
}

/** The lights of a city as points, with what cityFromGeoJson reads of them. */
export function geoJsonOf(city: City): string {
  const features = city.lights.map((light) => ({
    type: "Feature",
    geometry: { type: "Point", coordinates: [light.longitude, light.latitude] },
    properties: {
      name: light.name,
      street: light.street,
      feeder: light.feeder,
      watts: light.lamp.ratedMilliwatts / 1000,
    },
  }));
  return `{"type":"FeatureCollection","features":[\n${features.map((one) => JSON.stringify(one)).join(",\n")}\n]}\n`;
}

function complaint(error: z.ZodError): string {
  const [issue] = error.issues;
  return `member "${issue!.path.join(".") || "type"}": ${cut(issue!.message, 200)}`;
}
