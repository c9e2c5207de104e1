import { spawn } from "node:child_process";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { openRegisterMap } from "#hardware/meters/modbus/map-table";
import { openMeter } from "#hardware/meters/open-meter";
import { MeterImage } from "#simulator/hardware/meter-image";
import { answerTo, listenAsMeter, withCrc } from "#simulator/hardware/modbus-slave";
import { context, readOnce, until } from "../../hardware/meters/harness.ts";

const SIMULATE = new URL("../../../simulator/watt402-simulate.mjs", import.meta.url).pathname;

const run = (...args: string[]) => simulate("modbus-server", ...args);

function simulate(...args: string[]) {
  const child = spawn(process.execPath, [SIMULATE, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      text += chunk;
    });
  }
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, code, said: () => text };
}

describe("watt402-simulate modbus-server", () => {
  it("serves a map until it is stopped, and prints its last counter", async () => {
    const served = run("--map", "sdm120", "--tcp", "0", "--watts", "60", "--start-kwh", "7");
    try {
      await until("the ready line", () => served.said().includes("\n"), 30_000);
      const ready = JSON.parse(served.said()) as { ready: boolean; port: number };
      expect(ready).toMatchObject({ ready: true, map: "sdm120", slave: 1 });
      const meter = openMeter({ kind: "modbus", map: "sdm120", tcp: `127.0.0.1:${ready.port}` }, context());
      const reading = await readOnce(meter);
      await meter.close();
      expect(reading).toMatchObject({ powerMilliwatts: 60_000, quality: { kind: "good" } });
      expect(reading!.raw).toBeGreaterThanOrEqual(7_000_000);
    } finally {
      served.child.kill("SIGTERM");
    }
    expect(await served.code).toBe(0);
    expect(served.said()).toMatch(/"stopped":true,"energyMilliwattHours":70000\d\d/);
  });

  it("is found by the name it had in 0.1.0, which says how it is called now", async () => {
    const former = simulate("meter", "--map", "sdm120");
    expect(await former.code).toBe(1);
    expect(former.said()).toContain(
      "meter is called modbus-server now; the old name goes with the next release\n",
    );
    expect(former.said()).toContain("expected exactly one of --tcp, --rtu-tcp, --serial");
  });

  it("names in one line what keeps it from starting", async () => {
    const [unknown, nowhere] = [run("--map", "sdm999", "--tcp", "0"), run("--map", "sdm120")];
    expect([await unknown.code, await nowhere.code]).toEqual([1, 1]);
    expect(unknown.said()).toContain("expected sdm120, sdm230");
    expect(nowhere.said()).toBe(
      "watt402-simulate modbus-server: expected exactly one of --tcp, --rtu-tcp, --serial\n",
    );
  });
});

describe("a simulated slave", () => {
  const slaves = () => {
    const image = new MeterImage(openRegisterMap("sdm120"), 0, () => 0);
    return new Map([[1, image]]);
  };

  it("serves reads of registers that it has, and refuses everything else as a meter would", () => {
    const ask = (...bytes: number[]) => answerTo(Buffer.from(bytes), slaves());
    expect(ask(1, 4, 0, 0, 0, 2)?.length).toBe(7);
    expect(ask(2, 4, 0, 0, 0, 2)).toBeNull();
    // Odd, single, unknown, too many: exception 2. Another function, a write among them: exception 1.
    for (const request of [
      [0, 1, 0, 2],
      [0, 0, 0, 1],
      [0x0f, 0, 0, 2],
      [0, 0, 0, 82],
    ]) {
      expect(ask(1, 4, ...request)).toEqual(Buffer.from([1, 0x84, 2]));
    }
    expect(ask(1, 0x42, 0, 0, 0, 0)).toEqual(Buffer.from([1, 0xc2, 1]));
    expect(ask(1, 6, 0, 0, 0, 2)).toEqual(Buffer.from([1, 0x86, 1]));
  });

  it("on a serial line passes over noise and damaged requests, and answers the next whole one", async () => {
    const server = await listenAsMeter("rtu", 0, slaves());
    const socket = connect(server.port, "127.0.0.1");
    const heard: Buffer[] = [];
    socket.on("data", (chunk) => heard.push(chunk));
    const request = withCrc(Buffer.from([1, 4, 0, 0, 0, 2]));
    const damaged = Buffer.from(request);
    damaged[3] = 6;
    socket.write(Buffer.concat([Buffer.from([0xff, 0x00, 0x01]), damaged, request]));
    await until("one answer", () => Buffer.concat(heard).length > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(Buffer.concat(heard)).toEqual(withCrc(answerTo(request.subarray(0, 6), slaves())!));
    socket.destroy();
    await server.close();
  });
});
