/**
 * What a seller sells: by which unit, at which resources, and from a file also for how much and how it is paid.
 *
 * Promise: the units are those that devices know; all resources of a seller are of one unit and one account, so that what
 * was granted at one of them is good at each. What the file lacks is as on the command line.
 */
import { z } from "zod";
import { parseToml } from "#node/config/toml";
import { Watt402Error } from "#payment/watt402-error";
import { SCHEMES } from "./payment-ways.ts";

export const UNITS = ["mWh", "ms", "s", "request", "byte"] as const;

export interface Resource {
  /** Of its URL, as "/v1/energy"; bought by POST with `?quantum=`. */
  readonly path: string;
  /** For people and catalogues. */
  readonly description: string;
  /** What each paid answer brings beside the counters. */
  readonly data?: string | undefined;
}

export interface Goods {
  readonly unit: (typeof UNITS)[number];
  /** The first one is what a buyer gets that names none. */
  readonly resources: readonly Resource[];
}

export const ELECTRICITY: Goods = {
  unit: "mWh",
  resources: [{ path: "/v1/energy", description: "electricity" }],
};

/** Paths that every seller answers itself. */
const TAKEN = /^\/(v1\/tariff|v1\/accounts|v1\/terms|livez|readyz)(\/|$)/;
const RESOURCES_MAX = 32;
/** Characters: with the counters it fits a response of the general transport. */
const DATA_MAX = 32_768;
const QUANTA_MAX = 64;

const resource = z.strictObject({
  path: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]{1,64}){1,8}$/, "expected a path such as /v1/parking")
    .refine((path) => !TAKEN.test(path), "expected a path that the seller does not answer itself"),
  description: z.string().min(1).max(200),
  data: z.string().min(1).max(DATA_MAX).optional(),
});

const FILE = z.strictObject({
  unit: z.enum(UNITS),
  menu: z.array(z.int().min(1)).min(1).max(QUANTA_MAX).optional(),
  tariff: z.string().optional(),
  schemes: z.array(z.enum(SCHEMES)).min(1).optional(),
  resource: z
    .array(resource)
    .min(1)
    .max(RESOURCES_MAX)
    .refine(
      (all) => new Set(all.map(({ path }) => path)).size === all.length,
      "expected a path of its own for each",
    ),
});

export interface SellFile extends Goods {
  /** Quanta, atomic units. */
  readonly menu?: readonly number[] | undefined;
  /** As `--tariff`; atomic units per million units. */
  readonly tariff?: string | undefined;
  readonly schemes?: readonly (typeof SCHEMES)[number][] | undefined;
}

/** @param name of the file, for the error; throws one line with code config-invalid */
export function readSellFile(text: string, name: string): SellFile {
  const read = FILE.safeParse(parseToml(text, name));
  if (read.success) {
    const { resource: resources, ...others } = read.data;
    return { ...others, resources };
  }
  const [issue] = read.error.issues;
  const where = issue!.path.join(".") || "the file";
  throw new Watt402Error("config-invalid", `${name}: ${where.slice(0, 80)}: ${issue!.message.slice(0, 200)}`);
}
