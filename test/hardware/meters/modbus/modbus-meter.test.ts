import { createServer, type Server, type Socket } from "node:net";
import { ServerTCP } from "modbus-serial";
import { afterEach, describe, expect, it } from "vitest";
import { openRegisterMap, shippedMaps } from "#hardware/meters/modbus/map-table";
import { registersOf } from "#hardware/meters/modbus/register-map";
import { crc16 } from "#hardware/meters/modbus/rtu-port";
import { type MeterDriver, openMeter, probeMeter } from "#hardware/meters/open-meter";
import { MeterImage } from "#simulator/hardware/meter-image";
import { answerTo, listenAsMeter, type Slaves, withCrc } from "#simulator/hardware/modbus-slave";
import { context, readOnce, reasonOf, until } from "../harness.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** An SDM120 or another that draws 60 W and shows 12.345 kWh; time stands. */
function image(map = "sdm120", energyMilliwattHours = 12_345_000): MeterImage {
  const made = new MeterImage(openRegisterMap(map), energyMilliwattHours, () => 0);
  made.draw(60_000);
  return made;
}

function open(table: Record<string, unknown>): MeterDriver {
  const meter = openMeter({ kind: "modbus", timeout_ms: 60, ...table }, context());
  closing.push(() => meter.close());
  return meter;
}

async function serve(framing: "tcp" | "rtu", slaves: Slaves, port = 0): Promise<number> {
  const server = await listenAsMeter(framing, port, slaves);
  closing.push(() => server.close());
  return server.port;
}

/** A serial converter whose far end does what the test wants: the request in, bytes out or null. */
async function converter(answer: (request: Buffer) => Buffer | null): Promise<number> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("data", (request: Buffer) => {
      const bytes = answer(request);
      if (bytes !== null) socket.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

const honest = (request: Buffer, slaves: Slaves) => withCrc(answerTo(request.subarray(0, 6), slaves)!);

describe("a Modbus meter", () => {
  it.each(shippedMaps().map(({ name }) => name))(
    "%s is read whole, over TCP and in RTU frames",
    async (map) => {
      const slaves = new Map([[1, image(map)]]);
      for (const framing of ["tcp", "rtu"] as const) {
        const port = await serve(framing, slaves);
        const meter = open({ map, [framing === "tcp" ? "tcp" : "rtu_over_tcp"]: `127.0.0.1:${port}` });
        const reading = await readOnce(meter);
        expect(reading).toMatchObject({ powerMilliwatts: 60_000, quality: { kind: "good" } });
        expect(Math.abs(reading!.raw - 12_345_000)).toBeLessThanOrEqual(1);
        const has = registersOf(openRegisterMap(map)).map(({ quantity }) => quantity);
        expect(reading!.voltageMillivolts).toBe(has.includes("voltage") ? 230_000 : undefined);
        expect(reading!.frequencyMillihertz).toBe(has.includes("frequency") ? 50_000 : undefined);
        if (has.includes("current")) expect(reading!.currentMilliamps).toBeGreaterThan(255);
      }
    },
  );

  it("is read the same from another's implementation of a Modbus server", async () => {
    const map = image();
    const { port } = await listenAsMeter("tcp", 0, new Map()).then(async (server) => {
      await server.close();
      return server;
    });
    const other = new ServerTCP(
      {
        getMultipleInputRegisters: (address: number, count: number) => {
          const words = map.words("input", address, count);
          if (words === null) throw Object.assign(new Error("no such register"), { modbusErrorCode: 2 });
          return words;
        },
      },
      { host: "127.0.0.1", port, unitID: 7 },
    );
    closing.push(() => new Promise<void>((resolve) => other.close(() => resolve())));
    await new Promise<void>((resolve) => other.on("initialized", () => resolve()));
    const reading = await readOnce(open({ map: "sdm120", tcp: `127.0.0.1:${port}`, slave: 7 }));
    expect(reading).toMatchObject({ powerMilliwatts: 60_000, voltageMillivolts: 230_000 });
  });

  it("hands the PZEM's roll-over to the register, and its raw counter with it", async () => {
    const port = await serve("tcp", new Map([[1, image("pzem-004t", 10_000_000_000 + 5000)]]));
    const meter = open({ map: "pzem-004t", tcp: `127.0.0.1:${port}` });
    expect(meter.rollOverAt).toBe(10_000_000_000);
    expect((await readOnce(meter))!.raw).toBe(5000);
  });

  it("reports when a float32 counter has grown coarse", async () => {
    const port = await serve("tcp", new Map([[1, image("sdm120", 20_000 * 1e6)]]));
    const meter = open({ map: "sdm120", tcp: `127.0.0.1:${port}` });
    await readOnce(meter);
    expect(meter.notes()).toEqual([expect.stringContaining("steps of 1.95 Wh")]);
    const fine = await serve("tcp", new Map([[1, image("sdm120", 8000 * 1e6)]]));
    const other = open({ map: "sdm120", tcp: `127.0.0.1:${fine}` });
    await readOnce(other);
    expect(other.notes()).toEqual([]);
  });

  it("shares one line with others, each hearing only its own answers", async () => {
    const slaves = new Map([1, 2, 3].map((slave) => [slave, image("sdm120", slave * 1e9)] as const));
    let overlapping = 0;
    let busy = false;
    const port = await converter((request) => {
      if (busy) overlapping++;
      busy = true;
      setTimeout(() => {
        busy = false;
      }, 0);
      return honest(request, slaves);
    });
    const meters = [1, 2, 3].map((slave) =>
      open({ map: "sdm120", slave, rtu_over_tcp: `127.0.0.1:${port}` }),
    );
    for (let round = 0; round < 3; round++) {
      const readings = await Promise.all(meters.map(readOnce));
      expect(readings.map((reading) => Math.round(reading!.raw / 1e9))).toEqual([1, 2, 3]);
    }
    expect(overlapping).toBe(0);
  });

  it("comes back by itself when its line does", async () => {
    const first = await listenAsMeter("rtu", 0, new Map([[1, image()]]));
    const meter = open({ map: "sdm120", rtu_over_tcp: `127.0.0.1:${first.port}` });
    expect(reasonOf(await readOnce(meter))).toBe("good");
    await first.close();
    expect(reasonOf(await readOnce(meter))).toMatch(/found it gone|found ECONNREFUSED/);
    expect(reasonOf(await readOnce(meter))).toContain("ECONNREFUSED");
    await serve("rtu", new Map([[1, image()]]), first.port);
    await until("a good reading", async () => reasonOf(await readOnce(meter)) === "good");
  });
});

describe("a Modbus meter in trouble", () => {
  it("that is silent names what to check, within its time", async () => {
    const port = await converter(() => null);
    const meter = open({ map: "sdm120", rtu_over_tcp: `127.0.0.1:${port}` });
    const startMs = Date.now();
    const reading = await readOnce(meter);
    expect(Date.now() - startMs).toBeLessThan(1000);
    expect(reading!.quality!.kind).toBe("stale");
    expect(reasonOf(reading)).toContain(
      "found silence; check the meter's power, that A and B are not swapped",
    );
  });

  it("is read in spite of noise, an adapter's echo, and one lost answer", async () => {
    const slaves = new Map([[1, image()]]);
    let requests = 0;
    const port = await converter((request) => {
      if (++requests === 2) return null;
      return Buffer.concat([request, Buffer.from([0x00, 0xff, 0x01]), honest(request, slaves)]);
    });
    const reading = await readOnce(open({ map: "sdm120", rtu_over_tcp: `127.0.0.1:${port}` }));
    expect(reading).toMatchObject({ powerMilliwatts: 60_000, quality: { kind: "good" } });
  });

  it("never takes a late answer for the next register's", async () => {
    const slaves = new Map([[1, image()]]);
    const open_ = new Set<Socket>();
    const server = createServer((socket) => {
      open_.add(socket);
      // 90 ms are later than the 60 ms that the meter waits, and within the quiet it then keeps.
      socket.on("data", (request: Buffer) => {
        // The others whom the meter then looks for are not there.
        if (request[0] === 1) setTimeout(() => socket.write(honest(request, slaves)), 90);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => {
      for (const socket of open_) socket.destroy();
      server.close();
    });
    const port = (server.address() as { port: number }).port;
    const meter = open({ map: "sdm120", rtu_over_tcp: `127.0.0.1:${port}` });
    for (let look = 0; look < 3; look++) expect((await readOnce(meter))!.quality!.kind).toBe("stale");
  });

  it("with a broken CRC is never metered, and says cable and parity", async () => {
    const slaves = new Map([[1, image()]]);
    const port = await converter((request) => {
      const answer = honest(request, slaves);
      answer[4] = answer[4]! ^ 0x10;
      return answer;
    });
    const reading = await readOnce(open({ map: "sdm120", rtu_over_tcp: `127.0.0.1:${port}` }));
    expect(reasonOf(reading)).toContain("found a damaged one (CRC); check parity");
    expect(reading!.quality!.kind).toBe("stale");
  });

  it("at another slave address is found by a probe, which says what to write", async () => {
    const port = await serve("rtu", new Map([[5, image()]]));
    const table = { kind: "modbus", map: "sdm120", rtu_over_tcp: `127.0.0.1:${port}`, timeout_ms: 50 };
    const { trouble, reading } = await probeMeter(table, context());
    expect(reading).toBeNull();
    expect(trouble).toContain(`slave 5 answers on 127.0.0.1:${port}: set slave = 5 in [meter.driver]`);
  });

  it("that answers for another slave is named", async () => {
    const slaves = new Map([[1, image()]]);
    const port = await converter((request) => {
      const body = honest(request, slaves).subarray(0, -2);
      body[0] = 9;
      return withCrc(body);
    });
    const reading = await readOnce(open({ map: "sdm120", rtu_over_tcp: `127.0.0.1:${port}` }));
    expect(reasonOf(reading)).toContain("expected an answer of slave 1, found one of slave 9; set slave");
  });

  it("with swapped words is refused, with the order in which they would be right", async () => {
    const swapped = openRegisterMap("sdm120");
    const turned = {
      ...swapped,
      registers: Object.fromEntries(
        registersOf(swapped).map(({ quantity, register }) => [
          quantity,
          { ...register, wordOrder: "low-first" },
        ]),
      ),
    } as unknown as typeof swapped;
    const port = await serve("tcp", new Map([[1, image("sdm120")]]));
    const wrong = await serve("tcp", new Map([[1, new MeterImage(turned, 1e9, () => 0)]]));
    expect(reasonOf(await readOnce(open({ map: "sdm120", tcp: `127.0.0.1:${port}` })))).toBe("good");
    const reading = await readOnce(open({ map: "sdm120", tcp: `127.0.0.1:${wrong}` }));
    expect(reading!.quality!.kind).toBe("suspect");
    expect(reasonOf(reading)).toContain(
      'right with wordOrder "low-first" and byteOrder "high-first": set these',
    );
  });

  it("of another kind answers an exception, and the map is doubted", async () => {
    const port = await serve("tcp", new Map([[1, image("pzem-004t")]]));
    const reading = await readOnce(open({ map: "sdm120", tcp: `127.0.0.1:${port}` }));
    expect(reasonOf(reading)).toContain("found exception 2; is this the map of this meter?");
  });

  it("that shows more power than the supply carries, or power flowing back, is refused", async () => {
    const strong = image();
    strong.draw(201_000);
    const backwards = image();
    backwards.draw(-60_000);
    const port = await serve(
      "tcp",
      new Map([
        [1, strong],
        [2, backwards],
      ]),
    );
    const reading = await readOnce(open({ map: "sdm120", tcp: `127.0.0.1:${port}` }));
    expect(reasonOf(reading)).toContain("expected at most 200 W, found 201 W");
    const other = await readOnce(open({ map: "sdm120", slave: 2, tcp: `127.0.0.1:${port}` }));
    expect(reasonOf(other)).toContain("swap the meter's line in and line out");
  });

  it("on a port that is not there says so, and does not hurry to try again", async () => {
    const reading = await readOnce(open({ map: "pzem-004t", serial: "/dev/ttyNOSUCH7" }));
    expect(reasonOf(reading)).toContain(
      "/dev/ttyNOSUCH7: expected a serial port, found none; plug the adapter in",
    );
  });
});

describe("the configuration of a Modbus meter", () => {
  const refused = (table: Record<string, unknown>) => () =>
    openMeter({ kind: "modbus", ...table }, context());
  it("needs one line, a map that there is, and keys that are spelt right", () => {
    expect(refused({ map: "sdm120" })).toThrow(
      "meter.driver.serial: expected exactly one of serial, tcp, rtu_over_tcp",
    );
    expect(refused({ map: "sdm120", tcp: "h:1", serial: "/dev/x" })).toThrow("expected exactly one");
    expect(refused({ map: "sdm999", tcp: "h:1" })).toThrow("meter.driver.map: expected sdm120, sdm230");
    expect(refused({ map: "sdm120", tcp: "h:1", slave: 248 })).toThrow(
      "meter.driver.slave: expected an integer in 1..247, found 248",
    );
    expect(refused({ map: "sdm120", tcp: "h:1", bauds: 9600 })).toThrow(
      "meter.driver.bauds: expected no such key",
    );
  });
});

describe("the CRC of RTU frames", () => {
  it("is the one of the serial line protocol's example", () => {
    // Specification V1.02, appendix B: frame 02 07 has CRC 41 12.
    expect(crc16(Buffer.from([0x02, 0x07]))).toBe(0x1241);
  });
});
