// Prints what the operations cost; the bounds asserted are only those that something depends on.

import { keccak256, toHex } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { escrow, startEscrow } from "./escrow.ts";

/** The x402 facilitator sends settle with this limit. */
const SETTLE_GAS_LIMIT = 120_000n;
const PAYMENTS_PER_CLAIM = 3_600n;

let chain: Awaited<ReturnType<typeof startEscrow>>;
beforeAll(async () => {
  chain = await startEscrow();
});
afterAll(() => chain?.stop());

test("gas of deposits, claims of 1, 10 and 90 channels, and settle", async () => {
  const { config, deposit, claimOf, signBatch, transact, receiver, stranger, contracts } = chain;
  const channels = Array.from({ length: 90 }, (_, index) => config({ salt: keccak256(toHex(index)) }));
  const depositGas: bigint[] = [];
  for (const channel of channels) depositGas.push((await deposit(channel, 1_000n)).gasUsed);

  const report: Record<string, bigint> = {
    "deposit, first ever": depositGas[0]!,
    "deposit, another channel": depositGas.at(-1)!,
    "deposit, top-up": (await deposit(channels[0]!, 1_000n)).gasUsed,
  };
  let total = 0n;
  const claim = async (count: number) => {
    total += 5n;
    const claims = await Promise.all(channels.slice(0, count).map((channel) => claimOf(channel, total)));
    return (await transact(receiver.address, escrow("claim", [claims]))).gasUsed;
  };
  const claimWithSignature = async (count: number) => {
    total += 5n;
    const claims = await Promise.all(channels.slice(0, count).map((channel) => claimOf(channel, total)));
    const signature = await signBatch(claims);
    return (await transact(stranger.address, escrow("claimWithSignature", [claims, signature]))).gasUsed;
  };
  const settle = async () =>
    (await transact(stranger.address, escrow("settle", [receiver.address, contracts.token]))).gasUsed;
  report["claim of 1, receiver's first"] = await claim(1);
  report["settle, receiver's first"] = await settle();
  report["claim of 90, first of each"] = await claim(90);
  report["claim of 1"] = await claim(1);
  report["claim of 10"] = await claim(10);
  report["claim of 90"] = await claim(90);
  report["claimWithSignature of 90"] = await claimWithSignature(90);
  report.settle = await settle();
  for (const [operation, gas] of Object.entries(report)) console.log(`${operation.padEnd(30)} ${gas}`);

  expect(report["settle, receiver's first"]!).toBeLessThan(SETTLE_GAS_LIMIT);
  expect(report["claimWithSignature of 90"]! / 90n / PAYMENTS_PER_CLAIM).toBeLessThanOrEqual(10n);
});
