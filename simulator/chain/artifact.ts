// A compiled contract as it lies in artifacts/: enough to place it on a chain without a compiler at hand.

import { readFile } from "node:fs/promises";
import type { Abi, Hex } from "viem";
import { parseJson } from "#protocol/nesting";

export const ARTIFACT_NAMES = [
  "BatchSettlement",
  "Erc3009DepositCollector",
  "Permit2DepositCollector",
  "Permit2",
  "ExactPermit2Proxy",
  "UptoPermit2Proxy",
  "DevelopmentDollar",
  "Multicall3",
] as const;
export type ArtifactName = (typeof ARTIFACT_NAMES)[number];

export type Artifact = {
  readonly contractName: string;
  readonly abi: Abi;
  /** Creation code, without constructor arguments. */
  readonly bytecode: Hex;
  readonly compiler: string;
  /** SHA-256 over the compiler's settings and every source file that went in, OpenZeppelin's too. */
  readonly sourceHash: string;
};

export const ARTIFACTS_DIRECTORY = new URL("./artifacts/", import.meta.url);

/** Reads a committed artifact. Throws when artifacts/ lacks it; `npm run contracts` writes all of them. */
export async function loadArtifact(name: ArtifactName): Promise<Artifact> {
  const file = new URL(`${name}.json`, ARTIFACTS_DIRECTORY);
  try {
    return parseJson(await readFile(file, "utf8")) as Artifact;
  } catch (cause) {
    throw new Error(`contract ${name}: no readable artifact at ${file.pathname}; run npm run contracts`, {
      cause,
    });
  }
}
