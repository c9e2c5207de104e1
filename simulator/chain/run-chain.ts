/**
 * `watt402-simulate chain`: a development chain with x402's contracts, for others to use by URL.
 */

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { Watt402Error } from "#payment/watt402-error";
import { startAnvil } from "./anvil.ts";
import { deployContracts } from "./deploy.ts";
import { fundDevelopmentTreasury } from "./open-chain.ts";

const DEFAULT_PORT = 8545;

/** Runs until a signal; `argv` are the arguments after the command's name. Resolves with the exit code. */
export async function runChain(argv: readonly string[]): Promise<number> {
  try {
    const command = new Command("watt402-simulate chain")
      .description("run a development chain with x402's contracts and a development dollar")
      .option("--port <number>", "port to listen on, 0 for any free one", port, DEFAULT_PORT)
      .exitOverride();
    command.parse([...argv], { from: "user" });
    const anvil = await startAnvil({ port: command.opts<{ port: number }>().port });
    const contracts = await deployContracts(anvil);
    await fundDevelopmentTreasury(anvil);
    const ready = { ready: true, rpcUrl: anvil.rpcUrl, ...contracts, treasury: anvil.accounts[0]?.address };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    const stopped = await untilStopped(anvil.pid);
    await anvil.stop();
    if (!stopped) throw new Watt402Error("unreachable", "the node ended by itself; start it again");
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`watt402-simulate chain: ${(error as Error).message}\n`);
    return 1;
  }
}

const LOOK_EVERY_MS = 1_000;

/** True when a signal asked to stop, false when the node was gone first. */
function untilStopped(nodePid: number): Promise<boolean> {
  return new Promise((resolve) => {
    // The node is no handle of this process, so this timer is also what keeps it running.
    const timer = setInterval(() => {
      if (!isRunning(nodePid)) end(false);
    }, LOOK_EVERY_MS);
    const end = (asked: boolean) => {
      clearInterval(timer);
      resolve(asked);
    };
    process.once("SIGTERM", () => end(true));
    process.once("SIGINT", () => end(true));
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function port(text: string): number {
  const value = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= 65_535) return value;
  throw new InvalidArgumentError("expected a port from 0 to 65535");
}
