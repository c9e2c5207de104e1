/**
 * The JSON API under /api/v1, as http/openapi.ts describes it.
 *
 * Promise: every list has a bound and a way to go on; amounts are integers in atomic units, energies in
 * metered units, times in unix seconds.
 */
import type { FastifyInstance, FastifyReply } from "fastify";
import { z } from "zod";
import { isDeviceName } from "#protocol/topics";
import type { ClusterStatus } from "../cluster/cluster.ts";
import type { Enrolments } from "../enrolment/enrolment.ts";
import type { Ledger } from "../purchase/ports.ts";
import type { SellerStatus } from "../sellers/seller-client.ts";
import type { Fleet } from "../telemetry/fleet-view.ts";
import { CONDITIONS, daysLeft, type Light } from "../telemetry/light-view.ts";
import { OPENAPI } from "./openapi.ts";
import { lightBody } from "./rows.ts";

/** How the token is written for people. */
export interface Money {
  readonly symbol: string;
  /** Atomic units are 10^-decimals of the token. */
  readonly decimals: number;
}

export interface Api {
  readonly fleet: Fleet;
  readonly ledger: Pick<Ledger, "channelsOf" | "paymentsAfter" | "deposits"> & Pick<Enrolments, "enrolments">;
  readonly money: Money;
  readonly unit: string;
  readonly sellers: () => readonly SellerStatus[];
  readonly duty: () => ClusterStatus;
  /** Atomic units; null while the chain does not answer. */
  readonly treasuryAtomic: () => number | null;
  readonly treasuryAddress: string;
}

const limit = z.coerce.number().int().min(1).max(500).default(100);
const LIGHTS_QUERY = z.strictObject({
  condition: z.enum(CONDITIONS).optional(),
  /** Part of a device's address or name. */
  search: z.string().max(64).optional(),
  after: z.coerce.number().int().min(-1).default(-1),
  limit,
});
const PAYMENTS_QUERY = z.strictObject({
  channel: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/, "expected 0x and 64 lower-case hex digits")
    .optional(),
  after: z.coerce.number().int().min(0).default(0),
  limit,
});
const CHANNELS_QUERY = z.strictObject({ offset: z.coerce.number().int().min(0).default(0), limit });
const HISTORY_QUERY = z.strictObject({ span: z.enum(["seconds", "minutes"]).default("seconds") });

export function registerApi(app: FastifyInstance, api: Api): void {
  const { fleet, ledger } = api;

  app.get("/api/v1/openapi.json", () => OPENAPI);

  app.get("/api/v1/fleet", () => ({
    ...fleet.summary(),
    money: api.money,
    unit: api.unit,
    treasury: { address: api.treasuryAddress, balanceAtomic: api.treasuryAtomic() },
  }));

  app.get("/api/v1/sellers", () => {
    const lights = new Map<string, number>();
    for (const { seller } of fleet.lights)
      if (seller !== null) lights.set(seller, (lights.get(seller) ?? 0) + 1);
    return { sellers: api.sellers().map((seller) => ({ ...seller, lights: lights.get(seller.name) ?? 0 })) };
  });

  app.get("/api/v1/duty", () => api.duty());

  app.get("/api/v1/history", (request, reply) => {
    const query = HISTORY_QUERY.safeParse(request.query);
    if (!query.success) return refuse(reply, query.error);
    return { span: query.data.span, samples: fleet.history.samples(query.data.span) };
  });

  app.get("/api/v1/lights", (request, reply) => {
    const query = LIGHTS_QUERY.safeParse(request.query);
    if (!query.success) return refuse(reply, query.error);
    const found: Light[] = [];
    let index = query.data.after + 1;
    for (; index < fleet.lights.length && found.length < query.data.limit; index++) {
      const light = fleet.lights[index]!;
      if (isWanted(light, query.data)) found.push(light);
    }
    const now = fleet.summary().atSeconds;
    return {
      lights: found.map((light) => lightBody(light, now)),
      next: index < fleet.lights.length ? index - 1 : null,
    };
  });

  app.get<{ Params: { device: string } }>("/api/v1/lights/:device", (request, reply) => {
    const light = lightIn(request.params.device);
    return light === null ? notFound(reply) : lightBody(light, fleet.summary().atSeconds);
  });

  app.get<{ Params: { device: string } }>("/api/v1/lights/:device/payments", async (request, reply) => {
    const query = PAYMENTS_QUERY.safeParse(request.query);
    if (!query.success) return refuse(reply, query.error);
    const light = lightIn(request.params.device);
    const channel = query.data.channel ?? light?.channelId;
    if (light === null || channel == null) return notFound(reply);
    const owned = await ledger.channelsOf(light.device);
    if (!owned.some(({ id }) => id === channel)) return notFound(reply);
    const payments = await ledger.paymentsAfter(channel, query.data.after, query.data.limit);
    // The signature is money to whoever can present it; it stays in the ledger.
    const told = payments.map(({ signature: _, ...payment }) => payment);
    const isLast = payments.length < query.data.limit;
    return { channel, payments: told, next: isLast ? null : payments.at(-1)!.maxClaimable };
  });

  app.get<{ Params: { device: string } }>("/api/v1/lights/:device/deposits", async (request, reply) => {
    const light = lightIn(request.params.device);
    if (light === null || light.channelId === null) return notFound(reply);
    const deposits = await ledger.deposits(light.channelId);
    return {
      channel: light.channelId,
      deposits: deposits.map(({ signature: _, ...deposit }) => deposit),
    };
  });

  app.get("/api/v1/channels", (request, reply) => {
    const query = CHANNELS_QUERY.safeParse(request.query);
    if (!query.success) return refuse(reply, query.error);
    const { offset, limit: most } = query.data;
    const now = fleet.summary().atSeconds;
    // Those that run out first, first; those without a known rate last.
    const order = (light: Light) => daysLeft(light, now) ?? Number.POSITIVE_INFINITY;
    const open = fleet.lights.filter(({ channelId }) => channelId !== null);
    const sorted = open.map((light) => ({ light, days: order(light) })).sort((a, b) => a.days - b.days || 0);
    const page = sorted.slice(offset, offset + most);
    return {
      channels: page.map(({ light }) => channelBody(light, now)),
      total: sorted.length,
      next: offset + most < sorted.length ? offset + most : null,
    };
  });

  function lightIn(device: string): Light | null {
    return isDeviceName(device) ? fleet.light(device) : null;
  }
}

function channelBody(light: Light, now: number) {
  const {
    channelId,
    device,
    name,
    seller,
    scheme,
    resource,
    quantumAtomic,
    promised,
    charged,
    granted,
    ...rest
  } = lightBody(light, now);
  const { spentPerDayAtomic, daysLeft: days } = rest;
  return {
    channelId,
    device,
    name,
    seller,
    scheme,
    resource,
    quantumAtomic,
    promised,
    charged,
    granted,
    spentPerDayAtomic,
    daysLeft: days,
  };
}

function isWanted(light: Light, query: z.infer<typeof LIGHTS_QUERY>): boolean {
  if (query.condition !== undefined && light.condition !== query.condition) return false;
  if (query.search === undefined) return true;
  const text = `${light.device} ${light.place?.name ?? ""}`.toLowerCase();
  return text.includes(query.search.toLowerCase());
}

function refuse(reply: FastifyReply, error: z.ZodError): FastifyReply {
  const [issue] = error.issues;
  return reply.code(400).send({ error: `${issue!.path.join(".") || "query"}: ${issue!.message}` });
}

function notFound(reply: FastifyReply): FastifyReply {
  return reply.code(404).send({ error: "no such light, channel or payment has been heard of" });
}
