/**
 * The JSON API under /api/v1, as http/openapi.ts describes it.
 *
 * Promise: every list has a bound and a way to go on; amounts are integers in atomic units, energies in
 * metered units, times in unix seconds.
 */
import type { FastifyInstance, FastifyReply } from "fastify";
import type { z } from "zod";
import { isSameToken, type PaymentToken } from "#protocol/payment-token";
import { isDeviceName } from "#protocol/topics";
import type { ClusterStatus } from "../cluster/cluster-status.ts";
import type { MoneySection } from "../config/monitoring-section.ts";
import type { Enrolments } from "../enrolment/enrolment.ts";
import type { Ledger } from "../purchase/ports.ts";
import type { SellerPrices } from "../sellers/price-board.ts";
import type { SellerStatus } from "../sellers/seller-status.ts";
import type { TreasuryBalance } from "../telemetry/alarms.ts";
import type { Fleet } from "../telemetry/fleet-view.ts";
import { daysLeft, type Light } from "../telemetry/light-view.ts";
import { evccRates } from "../telemetry/price-forms.ts";
import type { Answer } from "./answers.ts";
import { channelBody, lightBody } from "./light-rows.ts";
import { OPENAPI } from "./openapi.ts";
import { CHANNELS_QUERY, HISTORY_QUERY, LIGHTS_QUERY, PAYMENTS_QUERY, queryOf } from "./query.ts";

export interface Api {
  readonly fleet: Fleet;
  readonly ledger: Pick<Ledger, "channelsOf" | "paymentsAfter" | "deposits"> & Pick<Enrolments, "enrolments">;
  /** That sellers take, in their order. */
  readonly tokens: readonly (PaymentToken & MoneySection)[];
  readonly unit: string;
  readonly sellers: () => readonly SellerStatus[];
  readonly prices: () => readonly SellerPrices[];
  readonly cluster: () => ClusterStatus;
  /** In the order of the tokens. */
  readonly treasury: () => readonly TreasuryBalance[];
  readonly treasuryAddress: string;
}

interface OfDevice {
  Params: { device: string };
}

export function registerApi(app: FastifyInstance, api: Api): void {
  app.get("/api/v1/openapi.json", () => OPENAPI);
  registerFleet(app, api);
  registerLights(app, api.fleet);
  registerRecords(app, api);
}

/** What concerns the whole fleet. */
function registerFleet(app: FastifyInstance, api: Api): void {
  const { fleet } = api;
  app.get("/api/v1/fleet", (): Answer<"Fleet"> => {
    const summary = fleet.summary();
    const balances = api.treasury();
    const tokens = summary.tokens.map((sums, index) => {
      const { symbol, decimals } = api.tokens[index]!;
      return { ...sums, symbol, decimals, balanceAtomic: balances[index]!.balanceAtomic };
    });
    const [{ symbol, decimals, balanceAtomic }] = tokens as [(typeof tokens)[number]];
    return {
      ...summary,
      tokens,
      money: { symbol, decimals },
      unit: api.unit,
      treasury: { address: api.treasuryAddress, balanceAtomic },
    };
  });

  app.get("/api/v1/sellers", (): Answer<"Sellers"> => {
    const lights = new Map<string, number>();
    for (const { seller } of fleet.lights)
      if (seller !== null) lights.set(seller, (lights.get(seller) ?? 0) + 1);
    return { sellers: api.sellers().map((seller) => ({ ...seller, lights: lights.get(seller.name) ?? 0 })) };
  });

  const moneyOf = ({ token }: SellerPrices) => api.tokens.find((known) => isSameToken(known, token))!;
  app.get("/api/v1/prices", (): Answer<"Prices"> => {
    const pricesOf = (known: SellerPrices): Answer<"Prices">["sellers"][number] => {
      const { seller, series, token } = known;
      const { symbol, decimals } = moneyOf(known);
      const { network, asset } = token;
      return { seller, network, asset, money: { symbol, decimals }, ...series };
    };
    return { sellers: api.prices().map(pricesOf) };
  });

  app.get<{ Params: { seller: string } }>(
    "/api/v1/prices/:seller/evcc",
    (request, reply): Answer<"EvccRates"> | FastifyReply => {
      const known = api.prices().find(({ seller }) => seller === request.params.seller);
      if (known?.series.unit === "mWh") return evccRates(known, moneyOf(known));
      const found = known === undefined ? "none that publishes prices" : `one of ${known.series.unit}`;
      return reply.code(404).send({ error: `expected a seller of energy by its name, found ${found}` });
    },
  );

  app.get("/api/v1/duty", (): Answer<"Duty"> => api.cluster());

  app.get("/api/v1/history", (request, reply): Answer<"History"> | FastifyReply => {
    const query = queryOf(HISTORY_QUERY, request.query, reply);
    if (query === null) return reply;
    return { span: query.span, samples: fleet.history.samples(query.span) };
  });
}

/** Lights, and their channels, as the fleet view has them. */
function registerLights(app: FastifyInstance, fleet: Fleet): void {
  app.get("/api/v1/lights", (request, reply): Answer<"Lights"> | FastifyReply => {
    const query = queryOf(LIGHTS_QUERY, request.query, reply);
    if (query === null) return reply;
    const found: Light[] = [];
    let index = query.after + 1;
    for (; index < fleet.lights.length && found.length < query.limit; index++) {
      const light = fleet.lights[index]!;
      if (isWanted(light, query)) found.push(light);
    }
    const now = fleet.summary().atSeconds;
    return {
      lights: found.map((light) => lightBody(light, now)),
      next: index < fleet.lights.length ? index - 1 : null,
    };
  });

  app.get<OfDevice>("/api/v1/lights/:device", (request, reply): Answer<"Light"> | FastifyReply => {
    const light = lightIn(fleet, request.params.device);
    return light === null ? notFound(reply) : lightBody(light, fleet.summary().atSeconds);
  });

  app.get("/api/v1/channels", (request, reply): Answer<"Channels"> | FastifyReply => {
    const query = queryOf(CHANNELS_QUERY, request.query, reply);
    if (query === null) return reply;
    const { offset, limit } = query;
    const now = fleet.summary().atSeconds;
    // Those that run out first, first; those without a known rate last.
    const order = (light: Light) => daysLeft(light, now) ?? Number.POSITIVE_INFINITY;
    const open = fleet.lights.filter(({ channelId }) => channelId !== null);
    const sorted = open.map((light) => ({ light, days: order(light) })).sort((a, b) => a.days - b.days || 0);
    const page = sorted.slice(offset, offset + limit);
    return {
      channels: page.map(({ light }) => channelBody(light, now)),
      total: sorted.length,
      next: offset + limit < sorted.length ? offset + limit : null,
    };
  });
}

/** A light's payments and deposits out of the ledger: without signatures, which are money to any bearer. */
function registerRecords(app: FastifyInstance, { fleet, ledger }: Api): void {
  app.get<OfDevice>(
    "/api/v1/lights/:device/payments",
    async (request, reply): Promise<Answer<"Payments"> | FastifyReply> => {
      const query = queryOf(PAYMENTS_QUERY, request.query, reply);
      if (query === null) return reply;
      const light = lightIn(fleet, request.params.device);
      const channel = query.channel ?? light?.channelId;
      if (light === null || channel == null) return notFound(reply);
      const owned = await ledger.channelsOf(light.device);
      if (!owned.some(({ id }) => id === channel)) return notFound(reply);
      const payments = await ledger.paymentsAfter(channel, query.after, query.limit);
      const isLast = payments.length < query.limit;
      return {
        channel,
        payments: payments.map(({ signature: _, ...payment }) => payment),
        next: isLast ? null : payments.at(-1)!.maxClaimable,
      };
    },
  );

  app.get<OfDevice>(
    "/api/v1/lights/:device/deposits",
    async (request, reply): Promise<Answer<"Deposits"> | FastifyReply> => {
      const light = lightIn(fleet, request.params.device);
      if (light === null || light.channelId === null) return notFound(reply);
      const deposits = await ledger.deposits(light.channelId);
      return {
        channel: light.channelId,
        deposits: deposits.map(({ signature: _, ...deposit }) => deposit),
      };
    },
  );
}

function lightIn(fleet: Fleet, device: string): Light | null {
  return isDeviceName(device) ? fleet.light(device) : null;
}

function isWanted(light: Light, query: z.infer<typeof LIGHTS_QUERY>): boolean {
  if (query.condition !== undefined && light.condition !== query.condition) return false;
  if (query.search === undefined) return true;
  const text = `${light.device} ${light.location?.name ?? ""}`.toLowerCase();
  return text.includes(query.search.toLowerCase());
}

function notFound(reply: FastifyReply): FastifyReply {
  return reply.code(404).send({ error: "no such light, channel or payment has been heard of" });
}
