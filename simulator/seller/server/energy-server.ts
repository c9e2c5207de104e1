/**
 * The electricity API on HTTP: tariff, purchase, accounts.
 *
 * Promise: it translates x402's headers and statuses only; every decision is the sale's.
 */
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { PaymentPayload } from "@x402/core/types";
import { type FastifyInstance, type FastifyReply, fastify } from "fastify";
import { isCounter } from "#core/units";
import type { PriceSeries } from "#market/price-series";
import { cut } from "#node/config/shown";
import { parseJson } from "#protocol/nesting";
import type { ChainWatch } from "../claims/chain-watch.ts";
import type { AccountStore } from "../ports.ts";
import type { EnergySale, PresentOutcome } from "../sale/energy-sale.ts";
import type { Resource } from "../sale/goods.ts";
import type { Quote } from "../sale/tariff.ts";
import type { VoucherService } from "../scheme/voucher-service.ts";
import type { Terms } from "../terms/terms.ts";
import { fastPath, REPETITION_HEADER, receiptHeader } from "./fast-path.ts";
import { teachManners } from "./http-manners.ts";
import { type PublicBaseOptions, publicBase } from "./public-base.ts";

/** A stock voucher header is 1.6 kB, a deposit 2 kB. */
const MAX_HEADER_BYTES = 16_384;
/** A request carries its payment in a header; the body is ignored. */
const MAX_BODY_BYTES = 4_096;
/** Terms answered without a payment, kept by quantum and by the base URL of the request. */
const UNPAID_TERMS_MAX = 256;
/** A gateway's connections rest between its lamps' purchases. */
const KEEP_ALIVE_MS = 72_000;
const RETRY_AFTER_SECONDS = 1;
const VERSION_1 =
  "X-PAYMENT: expected the header PAYMENT-SIGNATURE of x402 version 2, found version 1's; pay as PAYMENT-REQUIRED says";
/** Of what was found, characters in an answer. */
const SHOWN_MAX = 20;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

interface ServerParts {
  readonly sale: EnergySale;
  /** Answers plain vouchers ahead of the framework; absent with the official scheme. */
  readonly voucherService: VoucherService | undefined;
  readonly store: AccountStore;
  readonly quote: () => Quote;
  /** What it will ask, as far as it knows. */
  readonly series: () => PriceSeries;
  /** It charges less than is signed. */
  readonly isMetered: boolean;
  readonly terms: Terms;
  readonly chain: Pick<ChainWatch, "origin" | "trouble">;
  readonly publicBase: PublicBaseOptions;
  /** What stands before all that is answered; absent: nothing. */
  readonly before?: ((listener: RequestListener) => RequestListener) | undefined;
  readonly log: (line: string) => void;
}

export function energyServer(parts: ServerParts): FastifyInstance {
  const { voucherService, terms, before = (listener) => listener } = parts;
  let isOpen = true;
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: "idle",
    serverFactory: (framework) =>
      createServer(
        { maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS },
        before(
          voucherService === undefined
            ? framework
            : fastPath({ voucherService, terms, isOpen: () => isOpen, log: parts.log }, framework),
        ),
      ),
  });
  app.addHook("preClose", (done) => {
    isOpen = false;
    done();
  });
  const baseOf = publicBase(parts.publicBase, () => app.listeningOrigin);
  teachManners(app);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, _body, done) => done(null));
  addReads(app, parts);
  for (const resource of terms.goods.resources) addResource(app, parts, resource, baseOf);
  return app;
}

function addReads(app: FastifyInstance, parts: ServerParts): void {
  const { terms } = parts;
  app.get("/livez", async () => ({ status: "ok" }));

  app.get("/readyz", async () => {
    const { origin, trouble } = parts.chain;
    if (trouble === undefined) return { status: "ready", chain: { url: origin, isGood: true } };
    return { status: "vouchers only", chain: { url: origin, isGood: false, reason: trouble } };
  });

  app.get("/v1/tariff", async () => ({
    unit: terms.goods.unit,
    ...parts.quote(),
    menu: terms.menu,
    resources: terms.goods.resources.map(({ path }) => path),
    ...(parts.isMetered ? { metered: true } : {}),
  }));

  app.get("/v1/prices", async () => parts.series());

  app.get<{ Params: { id: string } }>("/v1/accounts/:id", async (request, reply) => {
    const id = request.params.id.toLowerCase();
    return accountOf(parts.store, id) ?? reply.code(404).send({ error: `no account ${id.slice(0, 66)}` });
  });

  const { signed } = terms;
  if (signed === undefined) return;
  app.get<{ Params: { hash: string } }>("/v1/terms/:hash", async (request, reply) => {
    const hash = request.params.hash.toLowerCase();
    return signed.find(hash) ?? reply.code(404).send({ error: `no terms ${cut(hash, 66)}` });
  });
  app.post<ReceiptRequest>("/v1/accounts/:id/receipt", async (request, reply) => {
    const id = request.params.id.toLowerCase();
    const register = registerIn(request.query.register);
    if (register === null) {
      const found = cut(String(request.query.register), SHOWN_MAX);
      return reply
        .code(400)
        .send({ error: `register: expected units of the buyer's meter, found "${found}"` });
    }
    const receipt = signed.receipt(id, register);
    if (receipt === "no-channel")
      return reply.code(404).send({ error: `no channel ${cut(id, 66)} has bought` });
    if (receipt !== "too-many") return receipt;
    const error = "too many receipts at once; ask again";
    return reply.code(429).header("retry-after", RETRY_AFTER_SECONDS).send({ error });
  });
}

interface ReceiptRequest {
  readonly Params: { readonly id: string };
  readonly Querystring: { readonly register?: string };
}

/** A counter; null for what is none. */
function registerIn(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}$/.test(text) && isCounter(Number(text)) ? Number(text) : null;
}

/** What is known of an account; null when there is none. */
function accountOf(store: AccountStore, id: string): Record<string, unknown> | null {
  const account = store.account(id);
  if (account === undefined) return null;
  const { scheme, charged, granted } = account;
  const common = { account: id, scheme, charged, granted };
  const channel = store.channel(id);
  if (channel === undefined) return { ...common, claimed: charged, unclaimed: 0 };
  const claimed = Number(channel.totalClaimed);
  return {
    ...common,
    signedMaxClaimable: Number(channel.signedMaxClaimable),
    balance: Number(channel.balance),
    claimed,
    unclaimed: Math.max(0, charged - claimed),
    withdrawRequestedAt: channel.withdrawRequestedAt,
  };
}

function addResource(
  app: FastifyInstance,
  parts: ServerParts,
  resource: Resource,
  baseOf: (request: IncomingMessage) => string,
): void {
  const { terms } = parts;
  const unpaid = new Map<string, string>();
  app.post<{ Querystring: { quantum?: string; units?: string } }>(resource.path, async (request, reply) => {
    const base = baseOf(request.raw);
    const quantum = /^\d{1,15}$/.test(request.query.quantum ?? "")
      ? Number(request.query.quantum)
      : Number.NaN;
    const offers = terms.offers(quantum);
    if (offers === undefined) {
      const error = `quantum: expected one of the menu, found "${cut(String(request.query.quantum), SHOWN_MAX)}"`;
      return reply.code(400).send({ error, menu: terms.menu });
    }
    const used = usedAtomic(request.query.units, parts.quote().pricePerMillionUnits);
    if (used === null) {
      const error = `units: expected a whole number from 1, found "${cut(request.query.units!, SHOWN_MAX)}"`;
      return reply.code(400).send({ error });
    }
    const header = request.headers["payment-signature"];
    if (typeof header !== "string") {
      const error = request.headers["x-payment"] === undefined ? "Payment required" : VERSION_1;
      const key = `${base} ${quantum} ${terms.signed?.hash} ${error}`;
      const required = unpaid.get(key) ?? (await terms.paymentRequired(base, resource, quantum, error));
      if (unpaid.size >= UNPAID_TERMS_MAX) unpaid.clear();
      unpaid.set(key, required);
      return paymentRequired(reply, required, error);
    }
    const outcome = await parts.sale.present(jsonIn(header), offers, used);
    const require = (reason: string, payment?: PaymentPayload) =>
      terms.paymentRequired(base, resource, quantum, reason, payment);
    return answer(reply, outcome, require, resource.data);
  });
}

/** @param require the PAYMENT-REQUIRED header for this reason */
async function answer(
  reply: FastifyReply,
  outcome: PresentOutcome,
  require: (reason: string, payment?: PaymentPayload) => Promise<string>,
  data?: string,
): Promise<FastifyReply> {
  switch (outcome.kind) {
    case "sold":
      if (outcome.isRepetition) reply.header(REPETITION_HEADER, "true");
      return paid(reply, receiptHeader(outcome.stored.receipt)).send({ ...outcome.stored.answer, data });
    case "acknowledged":
      return paid(reply, receiptHeader(outcome.receipt)).send(outcome.body);
    case "malformed": {
      const error = "PAYMENT-SIGNATURE: expected base64 of an x402 version 2 PaymentPayload";
      return paymentRequired(reply, await require(error), error);
    }
    case "unpaid": {
      const required = await require(outcome.reason, outcome.payment);
      return paymentRequired(reply, required, outcome.reason);
    }
    case "unsettled":
      return reply
        .code(402)
        .header("cache-control", "no-store")
        .header("PAYMENT-RESPONSE", receiptHeader(outcome.receipt))
        .send({ error: outcome.receipt.errorReason ?? "settlement failed" });
    case "identifier-taken":
      return reply.code(409).send({ error: outcome.reason });
    case "identifier-invalid":
      return reply.code(400).send({ error: outcome.reason });
    case "unavailable":
      return reply.code(503).header("retry-after", RETRY_AFTER_SECONDS).send({ error: outcome.reason });
  }
}

/** What `units` cost, rounded up: of an upto payment no more is charged. Undefined when all is; null when it is no number. */
function usedAtomic(units: string | undefined, pricePerMillionUnits: number): number | undefined | null {
  if (units === undefined) return undefined;
  if (!/^[1-9]\d{0,14}$/.test(units)) return null;
  return Math.ceil((Number(units) * pricePerMillionUnits) / 1_000_000);
}

/** Undefined for what is no base64 of JSON. */
function jsonIn(header: string): unknown {
  if (!BASE64.test(header)) return undefined;
  try {
    return parseJson(Buffer.from(header, "base64").toString());
  } catch {
    return undefined;
  }
}

function paid(reply: FastifyReply, receipt: string): FastifyReply {
  return reply.code(200).header("cache-control", "private").header("PAYMENT-RESPONSE", receipt);
}

function paymentRequired(reply: FastifyReply, terms: string, error: string): FastifyReply {
  return reply
    .code(402)
    .header("cache-control", "no-store")
    .header("PAYMENT-REQUIRED", terms)
    .send({ error });
}
