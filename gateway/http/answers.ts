/**
 * Every JSON answer of the API as a zod shape.
 *
 * Promise: each answer is written once. Its type checks the code that builds it and the dashboard that reads it,
 * and the OpenAPI document is generated from it.
 */
import { z } from "zod";
import { CLUSTER_STATUS } from "../cluster/cluster-status.ts";
import { SELLER_STATUS } from "../sellers/seller-status.ts";
import { CHECK_NAMES } from "../telemetry/labels.ts";
import {
  atomic,
  CREDIT_LINE,
  count,
  each,
  FLEET_SUMMARY,
  LIGHT_STATUS,
  metered,
  SAMPLE,
  text,
  unixSeconds,
} from "../telemetry/shapes.ts";

const { device } = CREDIT_LINE.shape;
const channelId = CREDIT_LINE.shape.channelId.unwrap();
const name = text("the operator's name for it").nullable();
const list = <Item extends z.ZodType>(item: Item) => z.array(item).readonly();

const MONEY = z.object({
  symbol: text("the token's symbol"),
  decimals: count("atomic units are 10^-decimals"),
});

const SPENDING = {
  spentPerDayAtomic: z.number().min(0).describe("atomic units spent a day, when known").nullable(),
  daysLeft: z.number().min(0).describe("days that the deposit lasts, when known").nullable(),
};
const CHANNEL = z.object({ ...CREDIT_LINE.shape, name, ...SPENDING });
const LIGHT = z.object({
  ...LIGHT_STATUS.shape,
  name,
  ...SPENDING,
  latitude: z.number().min(-90).max(90).nullable(),
  longitude: z.number().min(-180).max(180).nullable(),
});
const PAYMENT = z.object({
  channelId,
  maxClaimable: atomic("what the device signed, cumulative"),
  amountAtomic: atomic("this payment"),
  charged: atomic("what the seller charged, cumulative"),
  granted: metered("what the seller granted, cumulative"),
  pricePerMillionUnits: count("atomic units for a million metered units"),
  register: metered("the meter's counter"),
  transaction: text("transaction on chain, when this payment made one"),
  atSeconds: unixSeconds("when the ledger recorded it"),
});
const DEPOSIT = z.object({
  channelId,
  index: count("0, 1, 2, ..."),
  amountAtomic: atomic("this deposit"),
  validBeforeSeconds: unixSeconds("end of its authorization"),
  state: z.enum(["intended", "confirmed", "expired"]),
  atSeconds: unixSeconds("when it was intended"),
  isNewcomer: z.boolean().describe("signed for a device that had never bought"),
  token: text("CAIP-19; empty where only the channel says it"),
});
const ENROLMENT = z.object({
  device,
  state: z.enum(["pending", "approved", "refused"]),
  askedSeconds: unixSeconds("its first hello; 0 when it was decided on before"),
  decidedSeconds: unixSeconds("the operator's decision; 0 while it waits"),
});
const CHECK = z.object({
  isGood: z.boolean(),
  reason: text("why it is not good, or a warning; else empty"),
});

export const ANSWERS = {
  Fleet: z.object({
    ...FLEET_SUMMARY.shape,
    tokens: list(
      FLEET_SUMMARY.shape.tokens.unwrap().element.extend({
        ...MONEY.shape,
        balanceAtomic: atomic("the treasury's").nullable(),
      }),
    ),
    money: MONEY.describe("of the first of the tokens"),
    unit: text("the metered unit"),
    treasury: z.object({
      address: text("the payer of all channels"),
      balanceAtomic: atomic("what it holds of the first of the tokens").nullable(),
    }),
  }),
  Light: LIGHT,
  Lights: z.object({ lights: list(LIGHT), next: count("pass as `after` for the next page").nullable() }),
  Sellers: z.object({
    sellers: list(z.object({ ...SELLER_STATUS.shape, lights: count("lights that buy from it") })),
  }),
  Prices: z.object({
    sellers: list(
      z.object({
        seller: text("its name"),
        network: text("what it is paid in: CAIP-2"),
        asset: text("the token's address"),
        money: MONEY,
        unit: text("the metered unit"),
        timeZone: text("IANA name of the zone that the tariff is made in"),
        fromSeconds: unixSeconds("the series begins"),
        untilSeconds: unixSeconds("it ends, exclusive"),
        price: list(z.tuple([unixSeconds("from when"), count("atomic units for a million metered units")])),
      }),
    ),
  }),
  EvccRates: list(
    z.object({
      start: text("ISO 8601 in UTC"),
      end: text("ISO 8601 in UTC"),
      value: z.number().min(0).describe("whole tokens per kWh"),
    }),
  ),
  Duty: CLUSTER_STATUS,
  Payment: PAYMENT,
  Payments: z.object({
    channel: channelId,
    payments: list(PAYMENT),
    next: atomic("pass as `after` for the next page").nullable(),
  }),
  Deposits: z.object({ channel: channelId, deposits: list(DEPOSIT) }),
  Channel: CHANNEL,
  Channels: z.object({
    channels: list(CHANNEL),
    total: count("channels there are"),
    next: count("pass as `offset` for the next page").nullable(),
  }),
  Enrolments: z.object({
    enrolments: list(ENROLMENT),
    next: text("pass as `after` for the next page").nullable(),
  }),
  History: z.object({ span: z.enum(["seconds", "minutes"]), samples: list(SAMPLE) }),
  Live: z.object({ status: z.literal("live") }),
  Ready: z.object({ status: z.enum(["ready", "not-ready"]), checks: each(CHECK_NAMES, () => CHECK) }),
  Check: CHECK,
  Version: z.object({ name: text("the program"), version: text("of it"), node: text("of Node") }),
  Error: z.object({ error: text("what was expected, and what was found") }),
};

/** The type of an answer, by its name in the document. */
export type Answer<Name extends keyof typeof ANSWERS> = Readonly<z.infer<(typeof ANSWERS)[Name]>>;
