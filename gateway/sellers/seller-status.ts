/**
 * How a seller is doing, as the API and the dashboard show it.
 *
 * Promise: the shape of the API's document and the type of what the gateway builds are one.
 */
import { z } from "zod";
import { HEALTH_NAMES } from "./seller-health.ts";

const count = (description: string) => z.int().min(0).describe(description);

export const SELLER_STATUS = z.object({
  name: z.string().describe("the configuration's name"),
  kind: z.enum(["electricity", "fixed"]),
  url: z.string().describe("where it is, without passwords"),
  standing: z.enum(HEALTH_NAMES),
  reason: z
    .string()
    .describe(
      "why it is not good, as that its terms are not the chain's (chain id, code at an address, EIP-712 name and version); empty when it is",
    ),
  forSeconds: count("seconds in this state"),
  circuit: z.enum(["closed", "open", "half-open"]),
  pricePerMillionUnits: count("atomic units for a million metered units; null before a tariff").nullable(),
  network: z.string().describe("the chain that it is paid on, CAIP-2; of several the one quoted last"),
  asset: z.string().describe("the token that it is paid in; of several the one quoted last"),
  unit: z.string().describe("the metered unit; null before a tariff").nullable(),
  answered: count("calls answered since the gateway started"),
  failed: count("calls that failed"),
  refused: count("calls not made, because it is to be left alone or too slow"),
  underWay: count("calls under way"),
  waiting: count("calls that wait for a connection"),
});

export type SellerStatus = Readonly<z.infer<typeof SELLER_STATUS>>;
