/** A light that holds its seller to the terms that it has signed: what it acknowledges, and what it does when they are broken. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Judgement } from "#market/judge";
import type { MeterSpan } from "#market/ocmf";
import { type MarketMemory, type MarketStore, NOTHING_KNOWN } from "#node/market/market-rules";
import type { SellerOptions } from "#simulator/seller/seller";
import { type Ground, type Light, prepareGround, until } from "../fixtures.ts";
import { dataOf, freePort, QUANTUM, startSeller } from "../purchase/agreement.ts";
import { rows, said } from "./dealings.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

interface Kept extends MarketStore {
  memory: MarketMemory;
}

function kept(): Kept {
  const store: Kept = {
    memory: NOTHING_KNOWN,
    load: () => store.memory,
    store(memory) {
      store.memory = memory;
    },
  };
  return store;
}

const RULES = { isRequired: true, keys: [], receiptEveryMs: 500 };

/** Receipts that its device has signed, too. */
const whole = (data: string) =>
  rows(data, "SELECT name FROM document WHERE kind = 'receipt' AND text NOT LIKE '%\"device\":null%'").length;

async function judgedBy(config: Record<string, unknown>, light: Light): Promise<Judgement> {
  const directory = ground.directory();
  const file = join(directory, "gateway.toml");
  writeFileSync(file, stringify(config));
  const documents = join(directory, "documents.json");
  writeFileSync(documents, await said("ledger", "documents", light.device, "--config", file));
  return JSON.parse(await said("verify", documents, "--json", "--rpc", ground.anvil.rpcUrl)) as Judgement;
}

describe("a light that holds its seller to its terms", () => {
  it("acknowledges what it was charged and granted, and the seller can show it", async () => {
    const seller = await startSeller(ground, { signsTerms: true });
    const config = ground.config(seller.url);
    const gateway = await ground.gateway(config);
    const spans: MeterSpan[] = [];
    const store = kept();
    const light = ground.light(gateway.brokerUrl, {
      loadMilliwatts: 1_800_000,
      market: { rules: RULES, store, meterDocuments: { isFull: false, write: (span) => spans.push(span) } },
    });
    await light.untilCharged(3 * QUANTUM);
    await until(
      () => whole(dataOf(config)) >= 2,
      30_000,
      () => `two receipts that the light has signed, found ${whole(dataOf(config))}`,
    );
    await light.stop();
    await gateway.stop();
    const { convictions, devices, countersigned, acknowledged } = await judgedBy(config, light);
    expect([convictions, devices]).toEqual([[], []]);
    expect(countersigned).toBeGreaterThanOrEqual(2);
    expect(acknowledged).toHaveLength(1);
    expect(acknowledged[0]!.charged).toBeLessThanOrEqual(light.charged());
    expect(acknowledged[0]!.granted).toBe(5 * acknowledged[0]!.charged);
    // Each document begins where the one before ended, and no number comes twice.
    expect(spans.length).toBeGreaterThanOrEqual(1);
    expect(spans.map(({ page }) => page)).toEqual(spans.map((_, at) => at + 1));
    expect(store.memory.documents).toBe(spans.length);
    for (const [at, { begin, end }] of spans.entries()) {
      expect(end.register).toBeGreaterThanOrEqual(begin.register);
      if (at > 0) expect(begin).toEqual(spans[at - 1]!.end);
    }
    await seller.stop();
  });

  it("signs no more to one that grants below them, over restarts too, and leaves what convicts it", async () => {
    const fixed: Partial<SellerOptions> = {
      ...{ signsTerms: true, port: await freePort(), dataDirectory: ground.directory() },
    };
    const honest = await startSeller(ground, fixed);
    const config = ground.config(honest.url, { limits: { sellerTimeoutMs: 1_000 } });
    const gateway = await ground.gateway(config);
    const store = kept();
    const buys = { loadMilliwatts: 1_800_000, market: { rules: RULES, store } };
    const light = ground.light(gateway.brokerUrl, buys);
    await light.untilCharged(2 * QUANTUM);
    await until(
      () => whole(dataOf(config)) >= 1,
      30_000,
      () => "a receipt of the honest days",
    );
    await honest.stop();

    const seller = await startSeller(ground, { ...fixed, conduct: "granted-below-terms" });
    await until(
      () => light.host.state().halted,
      30_000,
      () => `a light that halts, found ${JSON.stringify(light.host.state().channel)}`,
    );
    expect(light.host.state().answerRefusal).toBe("grant-below-terms");
    expect(store.memory.broken).toEqual([seller.receiver.toLowerCase()]);
    const signed = light.maxSigned();
    const receipts = whole(dataOf(config));
    await until(
      () => whole(dataOf(config)) > receipts,
      30_000,
      () => "a receipt of what it was granted in the end",
    );
    await light.stop();
    // What it was granted is its own: one quantum at twice the price.
    expect(signed).toBe(light.charged());
    const again = ground.light(gateway.brokerUrl, { ...buys, key: light.key, memory: light.memory });
    await until(
      () => again.host.state().offerRefusal === "grant-below-terms",
      20_000,
      () => `an offer refused, found ${again.host.state().offerRefusal}`,
    );
    expect(again.signed).toEqual([]);
    await again.stop();
    await gateway.stop();
    const { convictions, countersigned } = await judgedBy(config, light);
    expect(new Set(convictions.map(({ lie }) => lie))).toEqual(new Set(["granted-below-terms"]));
    expect(countersigned).toBeGreaterThanOrEqual(2);
    await seller.stop();
  });

  it("buys nothing from a seller that signs no terms, where its owner wants them", async () => {
    const seller = await startSeller(ground);
    const gateway = await ground.gateway(ground.config(seller.url));
    const light = ground.light(gateway.brokerUrl, { market: { rules: RULES, store: kept() } });
    await until(
      () => light.host.state().offerRefusal === "terms-missing",
      20_000,
      () => `an offer refused, found ${light.host.state().offerRefusal}`,
    );
    expect(light.signed).toEqual([]);
    await light.stop();
    await gateway.stop();
    await seller.stop();
  });
});
