/**
 * The API's description, OpenAPI 3.1: served at /api/v1/openapi.json, and held against real answers by a test.
 */

import { STANDINGS } from "../sellers/seller-health.ts";
import { CONDITIONS } from "../telemetry/light-view.ts";

type Schema = Readonly<Record<string, unknown>>;

const atomic = (description: string): Schema => ({
  type: "integer",
  minimum: 0,
  description: `${description}, atomic units of the token`,
});
const units = (description: string): Schema => ({
  type: "integer",
  minimum: 0,
  description: `${description}, metered units`,
});
const seconds = (description: string): Schema => ({
  type: "number",
  minimum: 0,
  description: `${description}, unix seconds`,
});
const count = (description: string): Schema => ({ type: "integer", minimum: 0, description });
const text = (description: string): Schema => ({ type: "string", description });
const orNull = ({ type, ...rest }: Schema): Schema => ({ ...rest, type: [type, "null"] });
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const list = (items: Schema): Schema => ({ type: "array", items });
const device: Schema = { type: "string", pattern: "^[0-9a-f]{40}$", description: "the device's address" };
const channelId: Schema = {
  type: "string",
  pattern: "^0x[0-9a-f]{64}$",
  description: "channel or exact account",
};
const perDay: Schema = {
  type: ["number", "null"],
  minimum: 0,
  description: "atomic units spent a day, when known",
};
const days: Schema = {
  type: ["number", "null"],
  minimum: 0,
  description: "days that the deposit lasts, when known",
};

/** All members required, no other allowed. */
const object = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});

const summary = {
  atSeconds: seconds("when it was so"),
  lights: object(Object.fromEntries(CONDITIONS.map((name) => [name, count(`lights that are ${name}`)]))),
  powerMilliwatts: { type: "number", minimum: 0, description: "power of all lights, milliwatts" },
  pricePerMillionUnits: count("atomic units for a million metered units; 0 before the first tariff"),
  spentAtomic: atomic("charged since the gateway started"),
  payments: count("payments since the gateway started"),
  refusals: count("refusals since the gateway started"),
  dropped: count("messages dropped since the gateway started"),
  paymentsPerSecond: { type: "number", minimum: 0, description: "over the last seconds" },
};

const channel = {
  channelId: orNull(channelId),
  device,
  name: orNull(text("the operator's name for it")),
  seller: orNull(text("whom it buys from, by the configuration's name")),
  scheme: orNull(text("x402 scheme")),
  resource: orNull(text("what is bought")),
  quantumAtomic: atomic("one purchase"),
  promised: atomic("what the device may sign up to"),
  charged: atomic("what the seller charged, cumulative"),
  granted: units("what the seller granted, cumulative"),
  spentPerDayAtomic: perDay,
  daysLeft: days,
};

const schemas: Readonly<Record<string, Schema>> = {
  Fleet: object({
    ...summary,
    money: object({ symbol: text("the token's symbol"), decimals: count("atomic units are 10^-decimals") }),
    unit: text("the metered unit"),
    treasury: object({
      address: text("the payer of all channels"),
      balanceAtomic: orNull(atomic("its tokens")),
    }),
  }),
  Light: object({
    ...channel,
    latitude: { type: ["number", "null"], minimum: -90, maximum: 90 },
    longitude: { type: ["number", "null"], minimum: -180, maximum: 180 },
    condition: { enum: CONDITIONS },
    model: text("as the device says"),
    firmware: text("as the device says"),
    meter: text("as the device says"),
    unit: text("the metered unit"),
    powerMilliwatts: count("milliwatts"),
    voltageMillivolts: orNull(count("millivolts, where the meter shows them")),
    currentMilliamps: orNull(count("milliamperes, where the meter shows them")),
    frequencyMillihertz: orNull(count("millihertz, where the meter shows them")),
    meterQuality: { enum: ["good", "suspect", "stale", null] },
    levelPercent: count("the lamp's level"),
    wantedPercent: count("the level it should have"),
    refusal: orNull(text("the code of the last refusal that still holds")),
    noOffer: orNull(text("why nothing could be offered to it; null once something was")),
    register: units("the meter's counter"),
    credit: { type: "integer", description: "granted less consumed, metered units; below 0 what is owed" },
    pricePerMillionUnits: count("atomic units for a million metered units"),
    payments: count("payments since the gateway started"),
    refusals: count("refusals since the gateway started"),
    spentAtomic: atomic("charged since the gateway started"),
    heardSeconds: seconds("last word"),
    paidSeconds: seconds("last payment; 0 before the first"),
  }),
  Lights: object({ lights: list(ref("Light")), next: orNull(count("pass as `after` for the next page")) }),
  Sellers: object({
    sellers: list(
      object({
        name: text("the configuration's name"),
        kind: { enum: ["electricity", "fixed"] },
        url: text("where it is"),
        standing: { enum: STANDINGS },
        reason: text(
          "why it is not good, as that its terms are not the chain's (chain id, code at an address, EIP-712 name and version); empty when it is",
        ),
        forSeconds: count("seconds in this standing"),
        circuit: { enum: ["closed", "open", "half-open"] },
        pricePerMillionUnits: orNull(count("atomic units for a million metered units; null before a tariff")),
        unit: orNull(text("the metered unit; null before a tariff")),
        answered: count("calls answered since the gateway started"),
        failed: count("calls that failed"),
        refused: count("calls not made, because it is to be left alone or too slow"),
        underWay: count("calls under way"),
        waiting: count("calls that wait for a connection"),
        lights: count("lights that buy from it"),
      }),
    ),
  }),
  Duty: object({
    state: { enum: ["sole", "active", "standby", "lapsed"] },
    leaseLeftSeconds: {
      type: ["number", "null"],
      minimum: 0,
      description: "of the lease by which payments are taken, seconds; null for a gateway alone",
    },
    slots: count("parts of the fleet that this gateway takes the payments of"),
    slotsOfAll: count("parts there are"),
    takeovers: count("parts taken over from gateways that vanished, since the start"),
    members: list(
      object({
        member: text("one start of a gateway"),
        name: text("as its operator calls it"),
        isSelf: { type: "boolean" },
        isLive: { type: "boolean" },
        hears: { type: "boolean", description: "connected to the broker" },
        delivery: { enum: ["shared", "whole"] },
        slots: count("parts of the fleet"),
      }),
    ),
  }),
  Payment: object({
    channelId,
    maxClaimable: atomic("what the device signed, cumulative"),
    amountAtomic: atomic("this payment"),
    charged: atomic("what the seller charged, cumulative"),
    granted: units("what the seller granted, cumulative"),
    pricePerMillionUnits: count("atomic units for a million metered units"),
    register: units("the meter's counter"),
    transaction: text("transaction on chain, when this payment made one"),
    atSeconds: seconds("when the ledger recorded it"),
  }),
  Payments: object({
    channel: channelId,
    payments: list(ref("Payment")),
    next: orNull(atomic("pass as `after` for the next page")),
  }),
  Deposits: object({
    channel: channelId,
    deposits: list(
      object({
        channelId,
        index: count("0, 1, 2, ..."),
        amountAtomic: atomic("this deposit"),
        validBeforeSeconds: seconds("end of its authorization"),
        state: { enum: ["intended", "confirmed", "expired"] },
        atSeconds: seconds("when it was intended"),
        isNewcomer: { type: "boolean", description: "signed for a device that had never bought" },
      }),
    ),
  }),
  Channel: object(channel),
  Enrolments: object({
    enrolments: list(
      object({
        device,
        state: { enum: ["pending", "approved", "refused"] },
        askedSeconds: seconds("its first hello; 0 when it was decided on before"),
        decidedSeconds: seconds("the operator's decision; 0 while it waits"),
      }),
    ),
    next: orNull(text("pass as `after` for the next page")),
  }),
  Channels: object({
    channels: list(ref("Channel")),
    total: count("channels there are"),
    next: orNull(count("pass as `offset` for the next page")),
  }),
  History: object({
    span: { enum: ["seconds", "minutes"] },
    samples: list(
      object({
        atSeconds: summary.atSeconds,
        powerMilliwatts: summary.powerMilliwatts,
        pricePerMillionUnits: summary.pricePerMillionUnits,
        spentAtomic: summary.spentAtomic,
        payments: summary.payments,
        lit: count("lights that are lit"),
        starved: count("lights that are starved"),
        lost: count("lights that are lost"),
      }),
    ),
  }),
  Live: object({ status: { const: "live" } }),
  Ready: object({
    status: { enum: ["ready", "not-ready"] },
    checks: object(
      Object.fromEntries(
        ["broker", "seller", "ledger", "clock", "chain", "duty"].map((name) => [name, ref("Check")]),
      ),
    ),
  }),
  Check: object({ isGood: { type: "boolean" }, reason: text("empty when good") }),
  Version: object({ name: text("the program"), version: text("of it"), node: text("of Node") }),
  Error: object({ error: text("what was expected, and what was found") }),
};

function json(description: string, name: string): Schema {
  return { description, content: { "application/json": { schema: ref(name) } } };
}

const query = (name: string, schema: Schema): Schema => ({ name, in: "query", schema });
const inPath: Schema = { name: "device", in: "path", required: true, schema: device };
const limit = query("limit", { type: "integer", minimum: 1, maximum: 500, default: 100 });

function get(summaryText: string, name: string, parameters: readonly Schema[] = []): Schema {
  const others = parameters.length > 0 ? { "400": json("A wrong query", "Error") } : {};
  const missing = parameters.includes(inPath) ? { "404": json("Not heard of", "Error") } : {};
  const responses = {
    "200": json(summaryText, name),
    ...others,
    ...missing,
    "401": json("No token", "Error"),
  };
  return { get: { summary: summaryText, parameters, responses } };
}

export const OPENAPI = {
  openapi: "3.1.0",
  info: {
    title: "watt402 gateway",
    version: "1",
    description:
      "What the gateway sees of its fleet. Read-only. Amounts are integers in atomic units of the token; energies in metered units.",
  },
  security: [{}, { token: [] }],
  paths: {
    "/livez": get("The process runs", "Live"),
    "/readyz": {
      get: {
        summary: "The gateway can take payments; 503 and the reasons while it cannot",
        responses: { "200": json("Ready", "Ready"), "503": json("Not ready", "Ready") },
      },
    },
    "/version": get("Program and version", "Version"),
    "/metrics": {
      get: {
        summary: "Numbers for Prometheus",
        responses: { "200": { description: "Text format", content: { "text/plain": {} } } },
      },
    },
    "/api/v1/fleet": get("The fleet as it is now", "Fleet"),
    "/api/v1/sellers": get("The sellers, the most wanted first", "Sellers"),
    "/api/v1/duty": get("Who of several gateways takes which payments", "Duty"),
    "/api/v1/history": get("The fleet over time, oldest first", "History", [
      query("span", { enum: ["seconds", "minutes"], default: "seconds" }),
    ]),
    "/api/v1/lights": get("Lights, in the order of being heard first", "Lights", [
      query("condition", { enum: CONDITIONS }),
      query("search", { type: "string", maxLength: 64 }),
      query("after", { type: "integer", minimum: -1, default: -1 }),
      limit,
    ]),
    "/api/v1/lights/{device}": get("One light", "Light", [inPath]),
    "/api/v1/lights/{device}/payments": get("Its payments, lowest cumulative amount first", "Payments", [
      inPath,
      query("channel", channelId),
      query("after", { type: "integer", minimum: 0, default: 0 }),
      limit,
    ]),
    "/api/v1/lights/{device}/deposits": get("Deposits into its channel", "Deposits", [inPath]),
    "/api/v1/enrolments": get(
      "Devices that wait for approval, or were decided on, by address",
      "Enrolments",
      [
        query("state", { enum: ["pending", "approved", "refused"] }),
        query("after", { type: "string", pattern: "^[0-9a-f]{0,40}$", default: "" }),
        limit,
      ],
    ),
    "/api/v1/channels": get("Channels, those that run out first, first", "Channels", [
      query("offset", { type: "integer", minimum: 0, default: 0 }),
      limit,
    ]),
    "/api/v1/events": {
      get: {
        summary:
          "Server-sent events: fleet (the summary), born and lights (rows of arrays, columns in gateway/http/rows.ts), frames (decoded messages, when asked for)",
        parameters: [query("frames", { type: "string", description: "all, or a device" })],
        responses: { "200": { description: "A stream", content: { "text/event-stream": {} } } },
      },
    },
  },
  components: { schemas, securitySchemes: { token: { type: "http", scheme: "bearer" } } },
};
