// The clock and the chain fail under a gateway while lights buy. It stays up, says what is wrong, refuses rather
// than guesses, and goes on by itself. Long: health is looked at every half minute.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../fixtures.ts";
import { more, openRoad, operate, untilTrouble } from "../processes/operate.ts";
import { expectAgreement, QUANTUM, startSeller } from "../purchase/agreement.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test("a clock set a day ahead and back is reported, stops no light that is connected, and pays nothing twice", async () => {
  const utility = await startSeller(ground);
  const preload = new URL("./clock-step.mjs", import.meta.url).href;
  const operated = await operate(
    ground,
    utility.url,
    { treasury: { depositAtomic: 1000, depositDays: 0 } },
    preload,
  );
  const light = ground.light(operated.brokerUrl);
  await light.untilCharged(4 * QUANTUM);
  for (const _ of ["ahead", "back"]) {
    operated.gateway.child.kill("SIGUSR2");
    // More than one deposit long: authorizations signed by a wrong clock are refused or good, never double.
    await more(light, 12);
    await untilTrouble(operated, "clock", /clock was set by -?86\d{3} s/);
    await untilTrouble(operated, "clock", /^$/);
  }
  await more(light, 4);
  await light.stop();
  await operated.stop();
  const total = await expectAgreement([light], operated.data, utility.url);
  expect((await utility.stop()).settles.amountAtomic).toBe(total);
});

test("a chain node that is gone stops no payment that needs no deposit, is reported, and is used again when it is back", async () => {
  const utility = await startSeller(ground);
  const road = await openRoad(ground.anvil.rpcUrl);
  const operated = await operate(ground, utility.url, { chain: { rpc: road.url } });
  const light = ground.light(operated.brokerUrl);
  await light.untilCharged(4 * QUANTUM);
  road.cut();
  await more(light, 10);
  await untilTrouble(operated, "chain", /does not answer/);
  await more(light, 4);
  await road.mend();
  await untilTrouble(operated, "chain", /^$/);
  const newcomer = ground.light(operated.brokerUrl);
  await newcomer.untilCharged(2 * QUANTUM, 60_000);
  await Promise.all([light.stop(), newcomer.stop()]);
  await operated.stop();
  const total = await expectAgreement([light, newcomer], operated.data, utility.url);
  expect((await utility.stop()).settles.amountAtomic).toBe(total);
  road.cut();
});
