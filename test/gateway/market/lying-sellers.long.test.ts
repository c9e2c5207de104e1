/**
 * Show 2 over real sellers: of each conduct a thousand dealings, each with documents of its own. A dealing is the channel of
 * one light; with a seller whose offers contradict its terms, on which nothing is bought, it is one offer of one seller.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { LIES } from "#market/judge";
import { mint } from "#simulator/chain/deploy";
import { type Ground, prepareGround } from "../fixtures.ts";
import { convicted, deal } from "./dealings.ts";

const DEALINGS = 1_000;
/** Of one run: a seller, its gateways, and as many lights; a menu has 64 quanta, each with its own offer. */
const LIGHTS = 63;
const LIMIT_MS = 20 * 60_000;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
  // Each light has a deposit.
  await mint(ground.anvil, ground.treasuryKey.address, 10n ** 14n);
});
afterAll(() => ground.stop());

it("a thousand dealings with honest sellers convict none of them", { timeout: LIMIT_MS }, async () => {
  for (let judged = 0; judged < DEALINGS; ) {
    const { convictions, channels } = await convicted(ground, await deal(ground, "honest", LIGHTS, 0));
    expect({ convictions, channels }).toEqual({ convictions: [], channels: LIGHTS });
    judged += channels;
  }
});

it.each(LIES)(
  "a thousand dealings convict sellers of %s, each of them, and of nothing else",
  { timeout: LIMIT_MS },
  async (lie) => {
    for (let judged = 0; judged < DEALINGS; judged += LIGHTS) {
      const { convictions } = await convicted(ground, await deal(ground, lie, LIGHTS, 0));
      expect(new Set(convictions.map((one) => one.lie))).toEqual(new Set([lie]));
      const channels = new Set(convictions.flatMap(({ channelId }) => channelId ?? []));
      expect(lie === "offer-contradicts-terms" ? convictions.length : channels.size).toBe(LIGHTS);
    }
  },
);
