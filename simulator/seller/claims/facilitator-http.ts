/**
 * One x402 facilitator over HTTP.
 *
 * Promise: payments and credentials go to the URL that the operator wrote and to no other: a redirect is refused, and named
 * with where it leads. What is no facilitator's answer is an error that says what was found, cut short.
 */
import type { FacilitatorClient } from "@x402/core/server";
import { SettleError, VerifyError } from "@x402/core/types";
import { z } from "zod";
import { cut } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { AuthenticationHeaders } from "./facilitator-headers.ts";

/** A settlement waits for its transaction. */
const TIMEOUT_MS = 90_000;
const BYTES_MAX = 1_048_576;
/** Of an answer that is none, characters in the error. */
const SHOWN_MAX = 100;

type Path = "verify" | "settle" | "supported";
type Verified = Awaited<ReturnType<FacilitatorClient["verify"]>>;
type Settled = Awaited<ReturnType<FacilitatorClient["settle"]>>;
type Supported = Awaited<ReturnType<FacilitatorClient["getSupported"]>>;

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? undefined);
const members = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((value) => value ?? undefined);
const verified = z.object({
  isValid: z.boolean(),
  ...{ invalidReason: text, invalidMessage: text, payer: text, extensions: members, extra: members },
});
const settled = z.object({
  success: z.boolean(),
  transaction: z.string(),
  network: z.string(),
  ...{
    errorReason: text,
    errorMessage: text,
    payer: text,
    amount: text,
    extensions: members,
    extra: members,
  },
});
const kind = z.object({ x402Version: z.number(), scheme: z.string(), network: z.string(), extra: members });
const supported = z.object({
  kinds: z.array(kind),
  extensions: z.array(z.string()).default([]),
  signers: z.record(z.string(), z.array(z.string())).default({}),
});

/** What came back is no facilitator's answer; what was asked for may have been done all the same. */
export class NoAnswer extends Watt402Error {
  constructor(reason: string) {
    super("unreachable", reason);
  }
}

export class FacilitatorHttp implements FacilitatorClient {
  readonly #url: string;
  readonly #headers: AuthenticationHeaders | null;

  constructor(url: string, headers: AuthenticationHeaders | null) {
    this.#url = url.replace(/\/+$/, "");
    this.#headers = headers;
  }

  async verify(...payment: Parameters<FacilitatorClient["verify"]>): Promise<Verified> {
    const { status, answer } = await this.#ask("verify", verified, payment);
    if (status !== 200) throw new VerifyError(status, answer as Verified);
    return answer as Verified;
  }

  async settle(...payment: Parameters<FacilitatorClient["settle"]>): Promise<Settled> {
    const { status, answer } = await this.#ask("settle", settled, payment);
    if (status !== 200) throw new SettleError(status, answer as Settled);
    return answer as Settled;
  }

  async getSupported(): Promise<Supported> {
    const { status, answer } = await this.#ask("supported", supported);
    if (status !== 200) throw failure("supported", status, JSON.stringify(answer));
    return answer as Supported;
  }

  /** What is of the form, whatever its status; anything else throws. */
  async #ask<Form extends z.ZodType>(
    path: Path,
    form: Form,
    payment?: Parameters<FacilitatorClient["verify"]>,
  ): Promise<{ readonly status: number; readonly answer: z.output<Form> }> {
    const authentication = (await this.#headers?.read())?.[path] ?? {};
    // An answer that is not read to its end would hold its connection.
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    try {
      const response = await fetch(`${this.#url}/${path}`, {
        method: payment === undefined ? "GET" : "POST",
        headers: { "content-type": "application/json", ...authentication },
        redirect: "manual",
        signal,
        ...(payment === undefined ? {} : { body: bodyOf(payment) }),
      });
      const { status, headers } = response;
      if (status >= 300 && status < 400) throw redirected(path, status, headers.get("location"));
      const found = await readBounded(response);
      const read = form.safeParse(jsonIn(found));
      if (read.success) return { status: response.ok ? 200 : status, answer: read.data };
      throw failure(path, status, found);
    } finally {
      ended.abort();
    }
  }
}

/** A redirect means that nothing was done there. */
function redirected(path: Path, status: number, location: string | null): Watt402Error {
  const target = location !== null && URL.canParse(location) ? new URL(location).origin : "nowhere";
  return new Watt402Error(
    "unreachable",
    `${path} failed (${status}): expected an answer, found a redirect to ${target}; name the URL that answers`,
  );
}

/** The official client words statuses so, and others read them. */
function failure(path: Path, status: number, found: string): NoAnswer {
  const shown = cut(found.trim().replace(/\s+/g, " ") || "an empty answer", SHOWN_MAX);
  return new NoAnswer(`Facilitator ${path} failed (${status}): expected x402's JSON, found ${shown}`);
}

function bodyOf([paymentPayload, paymentRequirements]: Parameters<FacilitatorClient["verify"]>): string {
  return JSON.stringify(
    { x402Version: paymentPayload.x402Version, paymentPayload, paymentRequirements },
    (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value),
  );
}

async function readBounded({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const reader = body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    bytes += part.value.byteLength;
    if (bytes > BYTES_MAX) throw new NoAnswer(`expected an answer of at most ${BYTES_MAX} bytes, found more`);
    parts.push(part.value);
  }
  return Buffer.concat(parts).toString();
}

function jsonIn(found: string): unknown {
  try {
    return parseJson(found);
  } catch {
    return undefined;
  }
}
