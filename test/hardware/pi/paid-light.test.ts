import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ground, prepareGround } from "../../gateway/fixtures.ts";
import { bundledDevice, type Program } from "./device-process.ts";
import { livePaidEvening } from "./paid-evening.ts";
import { raisePole } from "./simulated-light.ts";

/** A quantum of 500 mWh lasts a quarter of a second. */
const LOAD_WATTS = 7200;

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

describe("a light on a pole", () => {
  it("is lit while it is paid for, dark when it starves, lit again, and every atomic unit is accounted for", async () => {
    const pole = await raisePole(LOAD_WATTS);
    try {
      const { charged, settled } = await livePaidEvening(ground, program, pole);
      expect(settled).toBe(charged);
    } finally {
      await pole.remove();
    }
  });
});
