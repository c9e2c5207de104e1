/**
 * What operators and their tools ask over HTTP: health, metrics, the API, the live feed, the dashboard.
 *
 * Promise: it reads and never changes anything; beyond loopback only health and version are served
 * without the token; what a viewer can make it hold is bounded.
 */

import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { Watt402Error } from "#payment/watt402-error";
import { isDeviceName } from "#protocol/topics";
import { sourceOf } from "../broker/limits/admission.ts";
import { type Rate, RateLimits } from "../broker/limits/rate-limit.ts";
import type { Metrics } from "../telemetry/metrics/metrics.ts";
import type { Answer } from "./answers.ts";
import { type Api, registerApi } from "./api.ts";
import type { PageFiles } from "./dashboard-files.ts";
import { registerEnrolments } from "./enrolments.ts";
import { type Feed, type FrameWish, VIEWERS_MAX } from "./feed.ts";
import type { Health } from "./health.ts";
import { type Access, type AccessRefusal, openAccess } from "./token-access.ts";

interface HttpParts extends Api {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly token: string | null;
  readonly feed: Feed;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly version: string;
  readonly page: PageFiles;
}

export interface HttpServer {
  /** As "http://127.0.0.1:8402". */
  readonly url: string;
  close(): Promise<void>;
}

const BODY_MAX_BYTES = 4_096;
const WATCHED_PATHS = new Set(["/livez", "/readyz", "/version"]);
const OPEN_PATHS = new Set([...WATCHED_PATHS, "/login"]);

/** Attempts to log in of one address: people mistype; what guesses is slowed to one in five seconds. */
const LOGINS: Rate = { perSecond: 0.2, burst: 10 };
const LOGIN_SOURCES_MAX = 1_000;

/** Viewers of the live feed from one address: half of all. */
const VIEWERS_OF_ADDRESS_MAX = VIEWERS_MAX / 2;

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

export async function openHttpServer(parts: HttpParts): Promise<HttpServer> {
  const access = openAccess(parts.token);
  const app = Fastify({ bodyLimit: BODY_MAX_BYTES, forceCloseConnections: true });
  app.addContentTypeParser(
    "application/x-www-form-urlencoded",
    { parseAs: "string" },
    (_request, body, done) => done(null, new URLSearchParams(String(body))),
  );
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(HEADERS);
    const refusal = access.refusal(request.headers);
    if (refusal === null || (refusal === "login-required" && OPEN_PATHS.has(pathOf(request)))) return;
    // A monitor may ask from any machine, by any host name.
    if (WATCHED_PATHS.has(pathOf(request))) return;
    await refuse(request, reply, refusal);
  });
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .send({ error: `nothing is at ${pathOf(request).slice(0, 80)}; see /api/v1/openapi.json` }),
  );
  app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) =>
    reply.code(error.statusCode ?? 500).send({ error: error.message }),
  );
  registerHealth(app, parts);
  registerLogin(app, access, parts.page);
  registerApi(app, parts);
  registerEnrolments(app, parts.ledger);
  registerFeed(app, parts.feed);
  app.get("/", (_request, reply) => reply.type("text/html; charset=utf-8").send(parts.page.index));
  app.get("/dashboard.css", (_request, reply) =>
    reply.type("text/css; charset=utf-8").send(parts.page.style),
  );
  app.get("/dashboard.js", async (_request, reply) =>
    reply.type("text/javascript; charset=utf-8").send(await parts.page.script()),
  );
  return listen(app, parts);
}

function pathOf(request: FastifyRequest): string {
  return request.url.split("?")[0]!;
}

async function refuse(request: FastifyRequest, reply: FastifyReply, refusal: AccessRefusal): Promise<void> {
  const path = pathOf(request);
  if (refusal === "login-required" && path === "/") {
    await reply.redirect("/login");
    return;
  }
  // The sign-in page needs it, and it holds no secret.
  if (refusal === "login-required" && path === "/dashboard.css") return;
  await reply.code(refusal === "login-required" ? 401 : 403).send({ error: REFUSED[refusal] });
}

const REFUSED: Readonly<Record<AccessRefusal, string>> = {
  "wrong-host": "expected a loopback name in the Host header; set http.tokenFile to listen to others",
  "cross-site":
    "expected a request of this site's own pages, or of no page, found one of another site's page",
  "login-required": "expected the token of http.tokenFile: Authorization: Bearer <token>",
};

function registerHealth(app: FastifyInstance, { health, metrics, version }: HttpParts): void {
  app.get("/livez", (): Answer<"Live"> => ({ status: "live" }));
  app.get("/readyz", (_request, reply): Answer<"Ready"> => {
    const isReady = health.isReady();
    reply.code(isReady ? 200 : 503);
    return { status: isReady ? "ready" : "not-ready", checks: health.checks() };
  });
  app.get("/version", (): Answer<"Version"> => ({ name: "watt402-gateway", version, node: process.version }));
  app.get("/metrics", async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
}

function registerLogin(app: FastifyInstance, access: Access, page: PageFiles): void {
  app.get("/login", (_request, reply) =>
    access.isOpen ? reply.redirect("/") : reply.type("text/html; charset=utf-8").send(page.login),
  );
  const attempts = new RateLimits(LOGINS, LOGIN_SOURCES_MAX, () => performance.now());
  app.post("/login", (request, reply) => {
    if (!attempts.take(sourceOf(request.ip))) {
      const waitSeconds = Math.ceil(1 / LOGINS.perSecond);
      return reply
        .code(429)
        .header("retry-after", waitSeconds)
        .send({
          error: `expected at most ${LOGINS.burst} attempts at once, found more; come again in ${waitSeconds} s`,
        });
    }
    const token = request.body instanceof URLSearchParams ? request.body.get("token") : null;
    const cookie = access.login(token ?? "", request.headers);
    if (cookie === null) {
      return reply.code(401).type("text/html; charset=utf-8").send(page.loginFailed);
    }
    return reply.header("set-cookie", cookie).redirect("/", 303);
  });
}

function registerFeed(app: FastifyInstance, feed: Feed): void {
  /** Viewers by address. */
  const viewers = new Map<string, number>();
  app.get("/api/v1/events", (request, reply) => {
    const { frames } = request.query as { frames?: unknown };
    const wish = frameWishOf(frames);
    if (wish === null) {
      return reply.code(400).send({ error: "frames: expected all or a device's 40 hex digits" });
    }
    const socket = reply.raw;
    let pendingBytes = 0;
    const viewer = {
      send(chunk: string) {
        const bytes = Buffer.byteLength(chunk);
        pendingBytes += bytes;
        socket.write(chunk, () => {
          pendingBytes -= bytes;
        });
      },
      backlogBytes: () => pendingBytes,
      close: () => socket.destroy(),
    };
    reply.hijack();
    socket.writeHead(200, { ...HEADERS, "content-type": "text/event-stream" });
    const source = sourceOf(request.ip);
    const present = viewers.get(source) ?? 0;
    const leave = present < VIEWERS_OF_ADDRESS_MAX ? feed.join(viewer, wish) : null;
    if (leave === null) socket.end("event: full\ndata: {}\n\n");
    else {
      viewers.set(source, present + 1);
      socket.once("close", () => {
        leave();
        const left = viewers.get(source)! - 1;
        if (left > 0) viewers.set(source, left);
        else viewers.delete(source);
      });
      socket.on("error", leave);
    }
    return reply;
  });
}

function frameWishOf(frames: unknown): FrameWish | null {
  if (frames === undefined) return { kind: "none" };
  if (frames === "all") return { kind: "all" };
  return typeof frames === "string" && isDeviceName(frames) ? { kind: "device", device: frames } : null;
}

async function listen(app: FastifyInstance, { host, port }: HttpParts): Promise<HttpServer> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    const { code, message } = error as NodeJS.ErrnoException;
    const what = code === "EADDRINUSE" ? "the port is in use; choose another http.port" : message;
    throw new Watt402Error("in-use", `http ${host}:${port}: ${what}`);
  }
  const address = app.server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    close: () => app.close(),
  };
}
