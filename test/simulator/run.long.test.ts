// Whole runs whose rules the ordinary tests hold one by one: by transfers, on two chains, beside programs elsewhere, on the lean link.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { endRuns, expectSound, RUN_MS, run } from "./evening.ts";
import { documentOf, simulate, until } from "./process.ts";

afterEach(endRuns);

/** The second of the public development accounts: it has gas, and no treasury's money. */
const RECEIVER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

test(
  "with --lean, lights are on the lean link, come back to it after their gateway's restart, and pay for a sound evening",
  async () => {
    const started = run("--lean", "--lights", "4", "--scenario", "gateway-restart");
    const result = await documentOf(started);
    expectSound(result, 4);
    // The road's own words, which no other link says.
    expect(started.stderr()).toMatch(/^a light: broker mqtt:/m);
    expect(result.atEnd.lit).toBe(4);
    expect(await started.ended).toBe(0);
  },
  RUN_MS,
);

test(
  "with the scheme exact, every purchase is a transfer of its own, and the sums agree",
  async () => {
    const started = run("--scheme", "exact", "--lights", "4", "--minutes", "2");
    const result = await documentOf(started);
    expectSound(result, 4);
    expect(result.gas).toMatchObject({ deposit: 0, claim: 0 });
    expect(result.gas!.perPayment).toBeGreaterThan(20_000);
    expect(await started.ended).toBe(0);
  },
  RUN_MS,
);

test(
  "with two chains, each with a seller and a token of its own, a run is conserved on each, and nothing is added up",
  async () => {
    const started = run("--chains", "2", "--lights", "6", "--minutes", "2");
    const result = await documentOf(started);
    expect(result.violations).toEqual([]);
    expect(result).toMatchObject({ conserved: true, amountAtomic: null, gas: null });
    expect(result.chains!.map(({ network }) => network)).toEqual(["eip155:31337", "eip155:31338"]);
    for (const { conserved, lights, payments, amountAtomic, gas } of result.chains!) {
      expect([conserved, lights]).toEqual([true, 3]);
      expect(payments).toBeGreaterThanOrEqual(3);
      expect(Number(amountAtomic.charged)).toBeGreaterThan(0);
      expect(amountAtomic).toMatchObject({
        deposited: "600000",
        claimed: amountAtomic.charged,
        settled: amountAtomic.charged,
        sellerBalance: amountAtomic.charged,
      });
      expect(gas!.claim).toBeGreaterThan(0);
    }
    expect(result.chains!.reduce((sum, { payments }) => sum + payments, 0)).toBe(result.payments.made);
    expect(await started.ended).toBe(0);
  },
  RUN_MS,
);

test(
  "a seller and a chain that run elsewhere are paid, and not stopped",
  async () => {
    const data = mkdtempSync(join(tmpdir(), "utility-"));
    const chain = simulate(["chain", "--port", "0"]);
    try {
      await until("the chain is ready", () => chain.stdout().includes("\n"), 30_000);
      const { rpcUrl, token } = JSON.parse(chain.stdout()) as { rpcUrl: string; token: string };
      const key = join(data, "receiver.key");
      writeFileSync(key, RECEIVER_KEY, { mode: 0o600 });
      const seller = simulate([
        "seller",
        ...["--rpc", rpcUrl, "--token", token, "--data", join(data, "seller")],
        ...["--receiver-key", key, "--claim-interval", "2", "--min-deposit", "200000"],
      ]);
      try {
        await until("the seller is ready", () => seller.stdout().includes("\n"), 30_000);
        const { url } = JSON.parse(seller.stdout().split("\n")[0]!) as { url: string };
        const started = run("--rpc", rpcUrl, "--seller", `${url}/`, "--lights", "4", "--minutes", "2");
        const result = await documentOf(started);
        expectSound(result, 4);
        expect(result.gas).toBeNull();
        expect(await started.ended).toBe(0);
        expect((await fetch(`${url}/livez`)).status).toBe(200);
      } finally {
        seller.child.kill("SIGTERM");
        expect(await seller.ended).toBe(0);
      }
    } finally {
      chain.child.kill("SIGTERM");
      expect(await chain.ended).toBe(0);
      rmSync(data, { recursive: true });
    }
  },
  RUN_MS,
);
