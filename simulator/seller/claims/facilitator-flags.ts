/**
 * Facilitators as the command line names them, each with what authenticates there.
 *
 * Promise: headers go to the origin that they were given for, and to no other.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { HeaderSource } from "./facilitator-headers.ts";
import type { FacilitatorOptions } from "./facilitators-elsewhere.ts";

export interface OriginHeaders {
  readonly origin: string;
  readonly source: HeaderSource;
}

export function readFacilitator(text: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "")
    return text;
  throw new Watt402Error("config-invalid", "expected an http or https URL without a user");
}

export function readOriginHeaders(text: string): OriginHeaders {
  const [, origin, isCommand, rest] = /^(https?:\/\/[^/=?#@]+)=(!?)(.+)$/.exec(text) ?? [];
  if (origin === undefined || rest === undefined) {
    throw new Watt402Error("config-invalid", "expected https://facilitator.example=FILE, or =!COMMAND");
  }
  const source: HeaderSource =
    isCommand === "!" ? { kind: "command", command: rest } : { kind: "file", file: rest };
  return { origin: new URL(origin).origin, source };
}

/** Each facilitator with the headers of its origin, which go to no other. */
export function facilitatorsOf(
  urls: readonly string[] = [],
  headers: readonly OriginHeaders[] = [],
): FacilitatorOptions[] {
  const stray = headers.find(({ origin }) => !urls.some((url) => new URL(url).origin === origin));
  if (stray !== undefined) {
    throw new Watt402Error(
      "config-invalid",
      `--facilitator-headers: expected the origin of a --facilitator, found ${stray.origin}`,
    );
  }
  return urls.map((url) => {
    const own = headers.find(({ origin }) => origin === new URL(url).origin)?.source;
    return own === undefined ? { url } : { url, headers: own };
  });
}
