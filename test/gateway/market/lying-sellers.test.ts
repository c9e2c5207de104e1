/** Show 2 over real sellers: each is told to behave in one way, real lights buy from it, and `verify` judges. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LIES } from "#market/judge";
import { type Ground, prepareGround } from "../fixtures.ts";
import { convicted, type Dealt, deal } from "./dealings.ts";

/** Who is paid: not the treasury's account. */
const ACCOUNTS = [0, 1, 2, 4, 5, 6, 7, 8, 9];
const CONDUCTS = ["honest", ...LIES] as const;

let ground: Ground;
const dealt = new Map<string, Dealt>();
beforeAll(async () => {
  ground = await prepareGround();
  const all = CONDUCTS.map(async (conduct, at) =>
    dealt.set(conduct, await deal(ground, conduct, 1, ACCOUNTS[at]!)),
  );
  await Promise.all(all);
});
afterAll(() => ground.stop());

describe("a seller on the chain, its gateway and a light", () => {
  it("leave documents by which an honest seller is convicted of nothing", async () => {
    expect(await convicted(ground, dealt.get("honest")!)).toEqual({ convictions: [], channels: 1 });
  });

  it.each(LIES)("leave documents by which a seller is convicted of %s, and of no other lie", async (lie) => {
    const { convictions } = await convicted(ground, dealt.get(lie)!);
    expect(new Set(convictions.map((one) => one.lie))).toEqual(new Set([lie]));
    expect(new Set(convictions.map(({ seller }) => seller))).toEqual(new Set([dealt.get(lie)!.seller]));
  });
});
