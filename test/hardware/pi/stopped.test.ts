// A light that is asked to end, while the parts and people around it hang.

import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { peekJournal } from "#node/journal/journal";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { until } from "../../device/node/broker.ts";
import { ASSET, NETWORK, SELLER, startGateway, type TestGateway } from "../gateway.ts";
import { type FakeGpio, fakeGpio } from "../lamps/tree.ts";
import { bundledDevice, type Program, type Run, runDevice } from "./device-process.ts";
import { type Pole, raisePole } from "./simulated-light.ts";

/** What the service manager of a pole that is switched off may be asked to wait. */
const ENDED_WITHIN_MS = 5_000;
/** The longest allowed: a look at a silent meter takes several of them. */
const METER_TIMEOUT_MS = 1_000;
const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));

/** Bytes pass both ways until it hangs: then connections stay, are taken, and nothing is said on them. */
interface Passage {
  readonly port: number;
  hang(): void;
  close(): void;
}

async function openPassage(to: number): Promise<Passage> {
  const sockets = new Set<Socket>();
  let hangs = false;
  const pass = (from: Socket, into: Socket) => {
    sockets.add(from);
    from.on("error", () => {});
    from.on("data", (bytes) => {
      if (!hangs) into.write(bytes);
    });
  };
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { readonly port: number }).port,
    hang: () => {
      hangs = true;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

let program: Program;
beforeAll(async () => {
  program = await bundledDevice();
});
afterAll(() => program.remove());

let pole: Pole;
let gateway: TestGateway;
let broker: Passage;
let meter: Passage;
let gpio: FakeGpio;
let light: Run | null;
beforeEach(async () => {
  pole = await raisePole(LOAD_WATTS);
  gateway = await startGateway(GATEWAY_KEY);
  broker = await openPassage(gateway.broker.port);
  meter = await openPassage(pole.meterPort);
  gpio = fakeGpio("GPIO17");
  light = null;
});
afterEach(async () => {
  light?.process.kill("SIGKILL");
  broker.close();
  meter.close();
  gpio.remove();
  await gateway.close();
  await pole.remove();
});

function start(lamp: string): Run {
  pole.configure({
    brokerUrl: `mqtt://127.0.0.1:${broker.port}`,
    gatewayPublicKey: toHex(GATEWAY_KEY.publicKey),
    network: NETWORK,
    asset: ASSET,
    payees: [SELLER],
    wantedUnits: 20,
    meter: `kind = "modbus"\nmap = "sdm120"\ntcp = "127.0.0.1:${meter.port}"\ntimeout_ms = ${METER_TIMEOUT_MS}`,
    lamp,
  });
  light = runDevice(program, ["--config", pole.config]);
  return light;
}

/** So long one purchase lights it that it is still lit when it is asked to end: 5 s. */
const LOAD_WATTS = 14;
const isLit = (holds: () => boolean) =>
  until("a lamp that is paid for", () => gateway.charged > 0 && holds(), 20_000);

/** Resolves with the exit code of a light that ended in time. */
async function ended(run: Run, signal: NodeJS.Signals): Promise<number | null> {
  const sinceMs = performance.now();
  run.process.kill(signal);
  const { code } = await run.ended;
  expect(performance.now() - sinceMs).toBeLessThan(ENDED_WITHIN_MS);
  return code;
}

const LED = 'kind = "led"';

test.each(["SIGTERM", "SIGINT"] as const)(
  "a light whose broker and meter hang ends within 5 s of %s, dark, with all it signed and metered stored",
  async (signal) => {
    const run = start(LED);
    await isLit(() => pole.lit());
    broker.hang();
    meter.hang();
    expect(await ended(run, signal)).toBe(0);
    expect(run.errors()).toBe("");
    expect(pole.lit()).toBe(false);
    const stored = peekJournal(join(pole.folder, "device.journal"))!;
    expect(stored.channels[0]!.signed).toBeGreaterThanOrEqual(gateway.vouchers.at(-1)!);
    expect(stored.register.total).toBeGreaterThanOrEqual(gateway.registers.at(-1)!);
  },
);

test("a light whose broker takes the connection and never answers ends within 5 s of SIGTERM, dark", async () => {
  broker.hang();
  const run = start(LED);
  await until("the light is up", () => run.lines().some(({ msg }) => msg === "found"), 20_000);
  expect(await ended(run, "SIGTERM")).toBe(0);
  expect(pole.lit()).toBe(false);
});

test("a light whose lamp does not answer ends within 5 s of SIGTERM, and says that it may not be safe", async () => {
  const run = start('kind = "gpio"\nline = "GPIO17"');
  await isLit(() => gpio.line("GPIO17") === "1");
  const gpioset = join(gpio.folder, "bin/gpioset");
  const [shebang, ...rest] = readFileSync(gpioset, "utf8").split("\n");
  writeFileSync(gpioset, [shebang, "trap '' TERM", "sleep 30 >/dev/null 2>&1", ...rest].join("\n"));
  broker.hang();
  meter.hang();
  expect(await ended(run, "SIGTERM")).toBe(1);
  expect(run.errors()).toMatch(
    /^watt402-device: the lamp may not be at its safe level: GPIO line GPIO17: .*\n$/,
  );
  expect(gpio.line("GPIO17")).toBe("released");
});
