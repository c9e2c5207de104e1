/**
 * What is known of fleet and lights, as zod shapes: the types of the fleet view, and of the API's document.
 *
 * Promise: each member is written once; its type, its bounds and its description all come from here.
 */
import { z } from "zod";
import { CONDITIONS } from "./labels.ts";

export const text = (description: string) => z.string().describe(description);
export const count = (description: string) => z.int().min(0).describe(description);
export const atomic = (what: string) => count(`${what}, atomic units of the token`);
export const metered = (what: string) => count(`${what}, metered units`);
export const unixSeconds = (what: string) => z.number().min(0).describe(`${what}, unix seconds`);

/** An object with the same shape under each of some names. */
export function each<Name extends string, Shape extends z.ZodType>(
  names: readonly Name[],
  shapeOf: (name: Name) => Shape,
): z.ZodObject<Record<Name, Shape>> {
  return z.object(Object.fromEntries(names.map((name) => [name, shapeOf(name)])) as Record<Name, Shape>);
}

/** CAIP-2, and the contract: what money is in. */
const PAYMENT_TOKEN = {
  network: text("the chain, CAIP-2"),
  asset: text("the token's contract"),
};

const PRICE = count("atomic units for a million metered units; 0 before the first tariff");
const POWER = z.number().min(0).describe("power of all lights, milliwatts");

export const FLEET_SUMMARY = z.object({
  atSeconds: unixSeconds("when it was so"),
  lights: each(CONDITIONS, (name) => count(`lights that are ${name}`)),
  powerMilliwatts: POWER,
  pricePerMillionUnits: PRICE.describe("of the first of the tokens"),
  spentAtomic: atomic("charged since the gateway started, in the first of the tokens"),
  tokens: z
    .array(
      z.object({
        ...PAYMENT_TOKEN,
        spentAtomic: atomic("charged in it since the gateway started"),
        pricePerMillionUnits: PRICE,
      }),
    )
    .readonly()
    .describe("each token that sellers take, in their order"),
  payments: count("payments since the gateway started"),
  refusals: count("refusals since the gateway started"),
  dropped: count("messages dropped since the gateway started"),
  paymentsPerSecond: z.number().min(0).describe("over the last seconds"),
});
export type FleetSummary = Readonly<z.infer<typeof FLEET_SUMMARY>>;

/** The fleet at one moment of its history. */
export const SAMPLE = FLEET_SUMMARY.pick({
  atSeconds: true,
  powerMilliwatts: true,
  pricePerMillionUnits: true,
  spentAtomic: true,
  payments: true,
}).extend({
  lit: count("lights that are lit"),
  starved: count("lights that are starved"),
  lost: count("lights that are lost"),
});
export type Sample = Readonly<z.infer<typeof SAMPLE>>;

/** What a light buys, and how far: null and 0 before its first offer. */
export const CREDIT_LINE = z.object({
  channelId: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .describe("channel or exact account")
    .nullable(),
  device: z
    .string()
    .regex(/^[0-9a-f]{40}$/)
    .describe("the device's address"),
  seller: text("the seller that it buys from, by the configuration's name").nullable(),
  scheme: text("x402 scheme").nullable(),
  network: PAYMENT_TOKEN.network.nullable(),
  asset: PAYMENT_TOKEN.asset.nullable(),
  resource: text("what is bought").nullable(),
  quantumAtomic: atomic("one purchase"),
  promised: atomic("what the device may sign up to"),
  charged: atomic("what the seller charged, cumulative"),
  granted: metered("what the seller granted, cumulative"),
});

export const LIGHT_STATUS = z.object({
  ...CREDIT_LINE.shape,
  condition: z.enum(CONDITIONS),
  model: text("as the device says"),
  firmware: text("as the device says"),
  meter: text("as the device says"),
  unit: text("the metered unit"),
  powerMilliwatts: count("milliwatts; units per hour where the unit is not mWh"),
  voltageMillivolts: count("millivolts, where the meter shows them").nullable(),
  currentMilliamps: count("milliamperes, where the meter shows them").nullable(),
  frequencyMillihertz: count("millihertz, where the meter shows them").nullable(),
  meterQuality: z
    .enum(["good", "suspect", "stale"])
    .describe("whether the meter's latest reading was metered; null where the device does not say")
    .nullable(),
  levelPercent: count("the lamp's level"),
  wantedPercent: count("the level it should have"),
  refusal: text("the code of the last refusal that still holds").nullable(),
  unknownSinceSeconds: unixSeconds("since when it is not known whether its payment was charged").nullable(),
  noOffer: text("why nothing could be offered to it; null once something was").nullable(),
  register: metered("the meter's counter"),
  credit: z.int().describe("granted less consumed, metered units; below 0 what is owed"),
  pricePerMillionUnits: count("atomic units for a million metered units"),
  payments: count("payments since the gateway started"),
  refusals: count("refusals since the gateway started"),
  spentAtomic: atomic("charged since the gateway started, and since it pays in this token"),
  heardSeconds: unixSeconds("last message"),
  paidSeconds: unixSeconds("last payment; 0 before the first"),
});
export type LightStatus = z.infer<typeof LIGHT_STATUS>;
