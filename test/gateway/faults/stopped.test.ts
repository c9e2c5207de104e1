// A gateway that is asked to end, while all it talks to hangs.

import { writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../fixtures.ts";
import { spawnGateway } from "../processes/gateway-process.ts";
import { freePort } from "../purchase/agreement.ts";

/** It ends within 4.5 s where it has the processor when it wants it; the rest is for a machine that is busy. */
const ENDED_WITHIN_MS = 6_500;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** Takes connections and says nothing, ever. */
function silentServer(): Promise<Server> {
  const server = createServer(() => {});
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

test("a gateway ends within 5 s of SIGTERM while its seller is silent and a page's request is half sent", async () => {
  const silent = await silentServer();
  const { port } = silent.address() as { port: number };
  const http = await freePort();
  const config = { ...ground.config(`http://127.0.0.1:${port}`), http: { port: http } };
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const gateway = spawnGateway(["--config", file, "--quiet"]);
  const brokerUrl = await gateway.ready;
  const light = ground.light(brokerUrl);
  const page = connect(http, "127.0.0.1");
  await new Promise<void>((resolve) => page.once("connect", () => resolve()));
  page.on("error", () => {});
  page.write("POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf");
  const sinceMs = performance.now();
  gateway.child.kill("SIGTERM");
  const { code } = await gateway.ended;
  expect(performance.now() - sinceMs).toBeLessThan(ENDED_WITHIN_MS);
  expect(code).toBe(0);
  page.destroy();
  await light.stop();
  silent.close();
});
