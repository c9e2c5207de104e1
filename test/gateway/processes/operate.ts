// A gateway as operators run it, with its page of health, and a road to its chain that can be cut.

import { writeFileSync } from "node:fs";
import { createServer, connect as openSocket, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { stringify } from "smol-toml";
import type { ConfigPatch, Ground, Light } from "../fixtures.ts";
import { dataOf, freePort, QUANTUM } from "../purchase/agreement.ts";
import { type GatewayProcess, spawnGateway } from "./gateway-process.ts";

/** Health is looked at every half minute. */
const SEEN_WITHIN_MS = 90_000;

export interface Operated {
  readonly gateway: GatewayProcess;
  readonly brokerUrl: string;
  readonly data: string;
  readonly httpUrl: string;
  /** What /readyz says of one part now: "" when it is good. */
  trouble(part: string): Promise<string>;
  stop(): Promise<void>;
}

export async function operate(
  ground: Ground,
  sellerUrl: string,
  patch: ConfigPatch = {},
  preload: string | null = null,
): Promise<Operated> {
  const port = await freePort();
  const config = { ...ground.config(sellerUrl, patch), http: { port } };
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const options = preload === null ? {} : { NODE_OPTIONS: `--import ${preload}` };
  const gateway = spawnGateway(["--config", file, "--quiet"], undefined, options);
  const httpUrl = `http://127.0.0.1:${port}`;
  return {
    gateway,
    brokerUrl: await gateway.ready,
    data: dataOf(config),
    httpUrl,
    async trouble(part) {
      const answer = (await (await fetch(`${httpUrl}/readyz`)).json()) as {
        checks: Record<string, { isGood: boolean; reason: string }>;
      };
      const { isGood, reason } = answer.checks[part]!;
      return isGood ? "" : reason;
    },
    async stop() {
      gateway.child.kill("SIGTERM");
      await gateway.ended;
    },
  };
}

export async function untilTrouble(operated: Operated, part: string, reported: RegExp): Promise<void> {
  const endMs = Date.now() + SEEN_WITHIN_MS;
  let found = "";
  do {
    found = await operated.trouble(part);
    if (reported.test(found)) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  } while (Date.now() < endMs);
  throw new Error(`expected ${part} to tell ${reported} within ${SEEN_WITHIN_MS} ms, found "${found}"`);
}

export const more = (light: Light, rungs: number) =>
  light.untilCharged(light.charged() + rungs * QUANTUM, 60_000);

/** A road to a TCP port that can be cut: connections end, and new ones are refused. */
export async function openRoad(
  target: string,
): Promise<{ readonly url: string; cut(): void; mend(): Promise<void> }> {
  const { hostname, port } = new URL(target);
  const own = await freePort();
  const sockets = new Set<Socket>();
  let server: Server;
  const mend = () =>
    new Promise<void>((resolve) => {
      server = createServer((near) => {
        const far = openSocket(Number(port), hostname);
        for (const socket of [near, far]) {
          sockets.add(socket);
          socket.on("error", () => socket.destroy());
          socket.on("close", () => {
            sockets.delete(socket);
            near.destroy();
            far.destroy();
          });
        }
        near.pipe(far).pipe(near);
      }).listen(own, "127.0.0.1", resolve);
    });
  await mend();
  return {
    url: `http://127.0.0.1:${own}`,
    mend,
    cut() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
