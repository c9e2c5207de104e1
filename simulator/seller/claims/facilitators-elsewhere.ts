/**
 * x402 facilitators elsewhere, in order of preference.
 *
 * Promise: a request goes to the first that takes it. One that cannot be reached or refuses the seller's credentials is
 * left out for REST_MS. A settlement that may have been sent goes to no other: its outcome is not known, and the same
 * payment may be presented again.
 */
import type { FacilitatorClient } from "@x402/core/server";
import { VerifyError } from "@x402/core/types";
import { cut } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import { type AuthenticationHeaders, type HeaderSource, openHeaders } from "./facilitator-headers.ts";
import { FacilitatorHttp, NoAnswer } from "./facilitator-http.ts";

export interface FacilitatorOptions {
  readonly url: string;
  /** What it is authenticated by; none when absent. */
  readonly headers?: HeaderSource;
}

interface Candidate {
  readonly url: string;
  readonly client: FacilitatorHttp;
  readonly headers: AuthenticationHeaders | null;
  restsUntilMs: number;
}

/** A whole time-out would be spent on each purchase while the preferred one is away. */
const REST_MS = 30_000;

/** Causes of `fetch` by which nothing was sent. */
const NOT_SENT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_|ERR_TLS|DEPTH_ZERO|UNABLE_TO)/;
/** Statuses by which the official client says that a request was refused before anything was done. */
const NOT_TAKEN = /failed \((401|403|404|429)\)/;
const CREDENTIALS = /failed \((401|403)\)/;

export class FacilitatorsElsewhere implements FacilitatorClient {
  readonly #candidates: readonly Candidate[];
  readonly #log: (line: string) => void;
  readonly #nowMs: () => number;

  /** Reads every header file: throws one line when one cannot be used. @param nowMs monotonic */
  constructor(options: readonly FacilitatorOptions[], log: (line: string) => void, nowMs: () => number) {
    this.#log = log;
    this.#nowMs = nowMs;
    this.#candidates = options.map(({ url, headers: source }) => {
      const headers = source === undefined ? null : openHeaders(source);
      const client = new FacilitatorHttp(url, headers);
      return { url, client, headers, restsUntilMs: Number.NEGATIVE_INFINITY };
    });
  }

  verify(...payment: Parameters<FacilitatorClient["verify"]>): ReturnType<FacilitatorClient["verify"]> {
    return this.#inTurn(
      (client) => client.verify(...payment),
      (error) => !(error instanceof VerifyError),
    );
  }

  settle(...payment: Parameters<FacilitatorClient["settle"]>): ReturnType<FacilitatorClient["settle"]> {
    return this.#inTurn((client) => client.settle(...payment), wasNotTaken);
  }

  getSupported(): ReturnType<FacilitatorClient["getSupported"]> {
    return this.#inTurn(
      (client) => client.getSupported(),
      () => true,
    );
  }

  /** @param mayGoOn after this error another one may be asked */
  async #inTurn<Answer>(
    ask: (client: FacilitatorHttp) => Promise<Answer>,
    mayGoOn: (error: unknown) => boolean,
  ): Promise<Answer> {
    let last: unknown;
    for (const candidate of this.#awake()) {
      try {
        return await ask(candidate.client);
      } catch (error) {
        if (!mayGoOn(error)) throw error;
        if (CREDENTIALS.test(String(error))) candidate.headers?.renew();
        candidate.restsUntilMs = this.#nowMs() + REST_MS;
        this.#log(`facilitator ${candidate.url}: ${reasonOf(error)}; left out for ${REST_MS / 1000} s`);
        last = error;
      }
    }
    throw last;
  }

  /** Those that do not rest; all of them when none is left, or nothing could be sold until one wakes. */
  #awake(): readonly Candidate[] {
    const nowMs = this.#nowMs();
    const awake = this.#candidates.filter(({ restsUntilMs }) => restsUntilMs <= nowMs);
    return awake.length > 0 ? awake : this.#candidates;
  }
}

function wasNotTaken(error: unknown): boolean {
  // Our own: the headers could not be made, or a redirect was met, so nothing was done.
  if (error instanceof Watt402Error && !(error instanceof NoAnswer)) return true;
  return NOT_TAKEN.test(String(error)) || NOT_SENT.test(causeOf(error));
}

function causeOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: unknown } };
  return String(cause?.code ?? "");
}

function reasonOf(error: unknown): string {
  const [line = ""] = String((error as Error).message ?? error).split("\n");
  const code = causeOf(error);
  return `${cut(line, 160)}${code === "" ? "" : ` (${code})`}`;
}
