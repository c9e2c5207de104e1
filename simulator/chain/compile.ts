// Compiles Solidity with the solc package: nothing installed, nothing fetched.
// The result depends on the sources alone; compiling again gives the same artifacts byte for byte, so the committed
// ones can be checked against contracts/. `npm run contracts` writes them.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import solc from "solc";
import type { Abi, Hex } from "viem";
import { parseJson } from "#protocol/nesting";
import { ARTIFACT_NAMES, ARTIFACTS_DIRECTORY, type Artifact } from "./artifact.ts";

export const CONTRACTS_DIRECTORY = new URL("./contracts/", import.meta.url);

const SETTINGS = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1_000_000 },
  // Comments and file names must not change the code that runs.
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "metadata"] } },
};

type CompilerMessage = {
  readonly severity: "error" | "warning" | "info";
  readonly formattedMessage: string;
  readonly sourceLocation?: { readonly file: string };
};
type CompilerOutput = {
  readonly errors?: readonly CompilerMessage[];
  readonly contracts?: Record<
    string,
    Record<string, { abi: Abi; metadata: string; evm: { bytecode: { object: string } } }>
  >;
};
type Import = { readonly contents: string } | { readonly error: string };
type Compile = (input: string, callbacks: { import: (path: string) => Import }) => string;

const compileStandardJson = solc.compile as Compile;
const compilerVersion = (solc.version as () => string)();
const packages = createRequire(import.meta.url);

/**
 * Compiles the named contracts, each in the file of its name under `directory`; imports that start with a package's
 * name are read from node_modules. Throws with the compiler's own messages; a warning about a file of ours is one.
 */
export async function compileContracts(names: readonly string[], directory: URL): Promise<Artifact[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith(".sol"));
  const sources = Object.fromEntries(
    await Promise.all(
      files.map(
        async (file) => [file, { content: await readFile(new URL(file, directory), "utf8") }] as const,
      ),
    ),
  );
  const input = JSON.stringify({ language: "Solidity", sources, settings: SETTINGS });
  const output = parseJson(compileStandardJson(input, { import: readPackageFile })) as CompilerOutput;
  const complaints = (output.errors ?? []).filter(
    (message) =>
      message.severity === "error" ||
      (message.severity === "warning" && !message.sourceLocation?.file.startsWith("@")),
  );
  if (complaints.length > 0) {
    throw new Error(`solc:\n${complaints.map((message) => message.formattedMessage).join("\n")}`);
  }
  return names.map((name) => {
    const contract = output.contracts?.[`${name}.sol`]?.[name];
    if (contract === undefined)
      throw new Error(`contract ${name}: not found in ${name}.sol of ${directory.pathname}`);
    return {
      contractName: name,
      abi: contract.abi,
      bytecode: `0x${contract.evm.bytecode.object}` as Hex,
      compiler: compilerVersion,
      sourceHash: createHash("sha256").update(contract.metadata).digest("hex"),
    };
  });
}

/** The text of an artifact file, the same on every machine. */
export function artifactText(artifact: Artifact): string {
  return `${JSON.stringify(artifact, null, 2)}\n`;
}

function readPackageFile(path: string): Import {
  try {
    return { contents: readFileSync(packages.resolve(path), "utf8") };
  } catch {
    return { error: `${path} is not in node_modules; run npm ci` };
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await mkdir(ARTIFACTS_DIRECTORY, { recursive: true });
  for (const artifact of await compileContracts(ARTIFACT_NAMES, CONTRACTS_DIRECTORY)) {
    await writeFile(new URL(`${artifact.contractName}.json`, ARTIFACTS_DIRECTORY), artifactText(artifact));
    console.log(`${artifact.contractName}: ${(artifact.bytecode.length - 2) / 2} bytes of creation code`);
  }
}
