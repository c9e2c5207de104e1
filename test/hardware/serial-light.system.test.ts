import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveRtu } from "#simulator/hardware/modbus-slave";
import { type Ground, prepareGround } from "../gateway/fixtures.ts";
import { bundledDevice, type Program } from "./pi/device-process.ts";
import { livePaidEvening } from "./pi/paid-evening.ts";
import { raisePole } from "./pi/simulated-light.ts";
import { openPair } from "./serial-line.ts";

/** A quantum of 500 mWh lasts half a second: a look over a serial line takes a tenth of one. */
const LOAD_WATTS = 3600;

let ground: Ground;
let program: Program;
beforeAll(async () => {
  ground = await prepareGround();
  program = await bundledDevice();
});
afterAll(async () => {
  program.remove();
  await ground.stop();
});

describe("a light whose meter hangs on a serial line", () => {
  it.each(["sdm120", "pzem-004t"])(
    "is lit while it is paid for, dark when it starves and lit again by the counter of a %s",
    async (map) => {
      const pole = await raisePole(LOAD_WATTS, map);
      const pair = await openPair(pole.folder, 9600, (far) => serveRtu(far, pole.slaves));
      try {
        const meter = `kind = "modbus"\nmap = "${map}"\nserial = "${pair.near}"`;
        const { charged, settled } = await livePaidEvening(ground, program, pole, meter);
        expect(settled).toBe(charged);
      } finally {
        await pair.close();
        await pole.remove();
      }
    },
  );
});
