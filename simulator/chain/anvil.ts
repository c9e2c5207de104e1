// A real EVM node, anvil, as a child of this process.
// Promises: ready when the promise resolves; never blocked by an unread pipe; gone when stop() resolves; gone soon after
// this process, whatever ends it, SIGKILL included. A running node does not keep this process alive.
//
// How it dies with its parent: a watcher process reads from a pipe that only this process holds. When the pipe ends,
// this process has ended, and the watcher kills the node. The watcher is node itself, so it works on every platform.
// Both run in process groups of their own: Ctrl-C reaches the owner alone, which may still claim before it stops the
// chain.

import { type ChildProcess, spawn } from "node:child_process";
import { pbkdf2Sync } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { type Address, bytesToHex, type Hex } from "viem";
import { HDKey, privateKeyToAddress } from "viem/accounts";
import { Watt402Error } from "#payment/watt402-error";

export const DEFAULT_CHAIN_ID = 31_337;
const START_TIMEOUT_MS = 20_000;
/** A node that hangs is killed then: it keeps nothing that could be lost. */
const STOP_TIMEOUT_MS = 2_000;
/** How much of the node's output is kept to explain a failed start. */
const START_OUTPUT_LIMIT_CHARACTERS = 8_000;
const ACCOUNT_COUNT = 25;
/** The well-known development phrase: its keys are public, never fund them on a real chain. */
const DEVELOPMENT_MNEMONIC = "test test test test test test test test test test test junk";

export type DevelopmentAccount = { readonly address: Address; readonly privateKey: Hex };

export type Anvil = {
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly pid: number;
  /** Accounts with 10,000 ether each; the same on every start. */
  readonly accounts: readonly DevelopmentAccount[];
  /** Ends the node and waits until it is gone; a second call is harmless. */
  stop(): Promise<void>;
};

type AnvilOptions = {
  readonly chainId?: number;
  /** 0 or absent: a free one, chosen by the node itself when it binds, so two starts never race for it. */
  readonly port?: number;
  /** A block every so many seconds; absent: a block for each transaction, at once. */
  readonly blockTimeSeconds?: number;
};

/**
 * Starts a node on 127.0.0.1. Throws when the binary for this platform is not installed, when the asked port is busy,
 * and when the node does not listen within START_TIMEOUT_MS.
 */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const { chainId = DEFAULT_CHAIN_ID, port = 0, blockTimeSeconds } = options;
  const args = ["--host", "127.0.0.1", "--port", String(port), "--chain-id", String(chainId)];
  args.push("--accounts", String(ACCOUNT_COUNT), "--mnemonic", DEVELOPMENT_MNEMONIC, "--color", "never");
  if (blockTimeSeconds !== undefined) args.push("--block-time", String(blockTimeSeconds));

  const node = spawn(anvilBinary(), args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    windowsHide: true,
  });
  const watcher = node.pid === undefined ? undefined : killWhenThisProcessEnds(node.pid);
  // First of all listeners: once the node is gone its number may be another process's, which must not be killed.
  node.once("exit", () => watcher?.kill("SIGKILL"));
  try {
    const rpcUrl = `http://127.0.0.1:${await listeningPort(node, port)}`;
    await silence(rpcUrl);
    letThisProcessEnd(node, watcher);
    return {
      rpcUrl,
      chainId,
      pid: node.pid as number,
      accounts: developmentAccounts(),
      stop: () => stop(node),
    };
  } catch (error) {
    await stop(node);
    throw error;
  }
}

/** The path of anvil's binary inside the npm package for this platform; throws naming the package that is missing. */
export function anvilBinary(
  platform: string = process.platform,
  architecture: string = process.arch,
): string {
  const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64" };
  const name = `@foundry-rs/anvil-${platform}-${architectures[architecture] ?? architecture}`;
  const binary = platform === "win32" ? "anvil.exe" : "anvil";
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/${binary}`);
  } catch (cause) {
    throw new Watt402Error(
      "not-found",
      `anvil: no binary for ${platform} ${architecture}; npm install ${name}, or use a node of your own with --rpc`,
      { cause },
    );
  }
}

function listeningPort(node: ChildProcess, askedPort: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = "";
    const timer = setTimeout(
      () =>
        reject(
          new Watt402Error(
            "unreachable",
            `anvil: not listening after ${START_TIMEOUT_MS} ms: ${output.trim()}`,
          ),
        ),
      START_TIMEOUT_MS,
    );
    const read = (chunk: string) => {
      if (output.length > START_OUTPUT_LIMIT_CHARACTERS) return;
      output += chunk;
      const port = /Listening on [^\n]*:(\d+)\s/.exec(output)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(Number(port));
    };
    node.stdout?.setEncoding("utf8").on("data", read);
    node.stderr?.setEncoding("utf8").on("data", read);
    node.once("error", (cause) => {
      clearTimeout(timer);
      reject(new Watt402Error("unreachable", `anvil: cannot be started: ${cause.message}`, { cause }));
    });
    node.once("close", (code) => {
      clearTimeout(timer);
      const busy = /address already in use/i.test(output);
      const why = busy
        ? `port ${askedPort} is busy; choose another, or none for a free one`
        : `ended with code ${code} before it listened: ${output.trim()}`;
      reject(new Watt402Error("unreachable", `anvil: ${why}`));
    });
  });
}

/** The node logs every call; the log is ended, for it has no reader. */
async function silence(rpcUrl: string): Promise<void> {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "anvil_setLoggingEnabled", params: [false] });
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  const headers = { "content-type": "application/json" };
  const response = await fetch(rpcUrl, { method: "POST", headers, body, signal });
  await response.text();
}

function killWhenThisProcessEnds(pid: number): ChildProcess {
  const script = `
    process.on("exit", () => { try { process.kill(${pid}, "SIGKILL") } catch {} })
    process.stdin.resume()`;
  return spawn(process.execPath, ["-e", script], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    windowsHide: true,
    env: { ...process.env, NODE_OPTIONS: "" },
  });
}

function letThisProcessEnd(node: ChildProcess, watcher: ChildProcess | undefined): void {
  for (const pipe of [node.stdout, node.stderr]) {
    pipe?.removeAllListeners("data").resume();
    (pipe as Socket | null)?.unref();
  }
  node.unref();
  watcher?.unref();
  (watcher?.stdin as Socket | null | undefined)?.unref();
}

async function stop(node: ChildProcess): Promise<void> {
  if (node.pid === undefined || node.exitCode !== null || node.signalCode !== null) return;
  node.ref();
  const gone = once(node, "exit");
  node.kill("SIGTERM");
  const timer = setTimeout(() => node.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

function developmentAccounts(): DevelopmentAccount[] {
  const seed = pbkdf2Sync(DEVELOPMENT_MNEMONIC, "mnemonic", 2048, 64, "sha512");
  const parent = HDKey.fromMasterSeed(seed).derive("m/44'/60'/0'/0");
  return Array.from({ length: ACCOUNT_COUNT }, (_, index) => {
    const privateKey = bytesToHex(parent.deriveChild(index).privateKey as Uint8Array);
    return { address: privateKeyToAddress(privateKey), privateKey };
  });
}
