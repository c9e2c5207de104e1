/**
 * What every HTTP resource owes its callers beside its own answers.
 *
 * Promise: a method that a path does not have is answered 405 with those it has, OPTIONS lists them, an unknown path is
 * 404; a page of any origin may call the API and read the headers that x402 answers in.
 */
import type { FastifyInstance, HTTPMethods } from "fastify";

/** How long a browser may remember what a path allows. */
const PREFLIGHT_SECONDS = "600";

/** Beside an answer to a page of another origin; nothing here depends on who asks, so any may. */
export const CROSS_ORIGIN_HEADERS: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers":
    "PAYMENT-REQUIRED, PAYMENT-RESPONSE, Idempotent-Replayed, Retry-After, Allow",
};

/** Stock clients send the last one along with a payment. */
const REQUEST_HEADERS = "PAYMENT-SIGNATURE, X-PAYMENT, Content-Type, Access-Control-Expose-Headers";

interface Path {
  readonly form: RegExp;
  readonly methods: Set<string>;
}

/** To be called before the routes are made. */
export function teachManners(app: FastifyInstance): void {
  const paths = new Map<string, Path>();
  app.addHook("onRoute", ({ url, method }) => {
    const form = new RegExp(`^${url.replace(/:[a-z]+/gi, "[^/]+")}$`);
    const path = paths.get(url) ?? { form, methods: new Set<string>() };
    paths.set(url, path);
    for (const one of [method].flat() as HTTPMethods[]) path.methods.add(one.toUpperCase());
  });
  app.addHook("onRequest", async (request, reply) => {
    if (request.headers.origin !== undefined) reply.headers(CROSS_ORIGIN_HEADERS);
  });
  app.setNotFoundHandler((request, reply) => {
    const url = request.url.split("?", 1)[0]!;
    const path = [...paths.values()].find(({ form }) => form.test(url));
    if (path === undefined) return reply.code(404).send({ error: "no such resource" });
    const allow = [...path.methods, "OPTIONS"].join(", ");
    reply.header("allow", allow);
    if (request.method !== "OPTIONS") {
      return reply.code(405).send({ error: `method: expected one of ${allow}` });
    }
    return reply.code(204).headers(preflight(request.headers.origin, allow)).send();
  });
}

function preflight(origin: string | undefined, allow: string): Readonly<Record<string, string>> {
  if (origin === undefined) return {};
  return {
    "access-control-allow-methods": allow,
    "access-control-allow-headers": REQUEST_HEADERS,
    "access-control-max-age": PREFLIGHT_SECONDS,
  };
}
