// What is held against a seller's terms, on a real node, before anything is signed: one line that names both sides.

import { createTestClient, encodeAbiParameters, type Hex, http, parseAbiParameters, size } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectEvm } from "#gateway/treasury/evm-client";
import { termsOnChain } from "#gateway/treasury/token-terms";
import type { OfferedRequirements } from "#protocol/messages";
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import { type Ground, prepareGround } from "../fixtures.ts";

const SCHEMES = ["batch-settlement", "exact"] as const;
const ELSEWHERE: Hex = `0x${"0e".repeat(20)}`;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

type Change = { readonly asset?: string; readonly name?: string; readonly version?: string };

/** What is said of terms with such a change, by a gateway that is on this chain. */
async function troubleOf(
  scheme: (typeof SCHEMES)[number],
  change: Change,
  chainId: number = ground.anvil.chainId,
): Promise<string> {
  const { name, version } = { ...DEVELOPMENT_DOLLAR_DOMAIN, ...change };
  const { address } = ground.treasuryKey;
  const connection = connectEvm(ground.anvil.rpcUrl, chainId, { address } as never);
  const requirements = {
    scheme,
    network: `eip155:${chainId}`,
    asset: change.asset ?? ground.contracts.token,
    amount: "100",
    extra: { name, version },
  };
  return termsOnChain(connection, address, () => 0)(requirements as unknown as OfferedRequirements);
}

/** A contract that answers eip712Domain() and nothing else. */
async function placeToken(name: string, version: string): Promise<void> {
  const answer = encodeAbiParameters(
    parseAbiParameters("bytes1, string, string, uint256, address, bytes32, uint256[]"),
    ["0x0f", name, version, BigInt(ground.anvil.chainId), ELSEWHERE, `0x${"00".repeat(32)}`, []],
  );
  const length = size(answer).toString(16).padStart(4, "0");
  const selects = "60003560e01c6384b0196e14601357600080fd5b";
  const answers = `61${length}61002360003961${length}6000f3`;
  const node = createTestClient({ mode: "anvil", transport: http(ground.anvil.rpcUrl) });
  await node.setCode({ address: ELSEWHERE, bytecode: `0x${selects}${answers}${answer.slice(2)}` });
}

test.each(SCHEMES)("%s: terms that are the chain's are good", async (scheme) => {
  expect(await troubleOf(scheme, {})).toBe("");
});

test.each(SCHEMES)(
  "%s: a wrong name and a wrong version of the token are named beside its own",
  async (scheme) => {
    const { name, version } = DEVELOPMENT_DOLLAR_DOMAIN;
    const own = `token ${ground.contracts.token}: expected EIP-712 domain "${name}" version "${version}" as the token says`;
    expect(await troubleOf(scheme, { name: "USDC" })).toContain(`${own}, found "USDC" version "${version}"`);
    expect(await troubleOf(scheme, { version: "9" })).toContain(`${own}, found "${name}" version "9"`);
  },
);

test.each(SCHEMES)("%s: a token's address without code is named with the chain", async (scheme) => {
  const asset = `0x${"0d".repeat(20)}`;
  const words = `token ${asset}: expected a contract on chain ${ground.anvil.chainId}, found none`;
  expect(await troubleOf(scheme, { asset })).toContain(words);
});

test.each(SCHEMES)("%s: a node of another chain is named with both ids", async (scheme) => {
  const words = `expected chain id 1, found ${ground.anvil.chainId}; check seller.network`;
  expect(await troubleOf(scheme, {}, 1)).toContain(words);
});

test.each(SCHEMES)("%s: a token that speaks eip712Domain() alone is held to it", async (scheme) => {
  await placeToken("Euro Coin", "3");
  const right = { asset: ELSEWHERE, name: "Euro Coin", version: "3" };
  expect(await troubleOf(scheme, right)).toBe("");
  for (const [wrong, found] of [
    [{ ...right, name: "EURC" }, '"EURC" version "3"'],
    [{ ...right, version: "2" }, '"Euro Coin" version "2"'],
  ] as const) {
    const words = `token ${ELSEWHERE}: expected EIP-712 domain "Euro Coin" version "3" as the token says, found ${found}`;
    expect(await troubleOf(scheme, wrong)).toContain(words);
  }
});
