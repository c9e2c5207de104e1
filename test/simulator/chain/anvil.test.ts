import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { expect, test } from "vitest";
import { anvilBinary, startAnvil } from "#simulator/chain/anvil";

const GONE_WITHIN_MS = 5_000;

test("a node answers as soon as it is handed out, with its chain id and ten funded accounts", async () => {
  const anvil = await startAnvil({ chainId: 1234 });
  try {
    const client = createPublicClient({ transport: http(anvil.rpcUrl) });
    expect(await client.getChainId()).toBe(1234);
    expect(anvil.accounts).toHaveLength(25);
    for (const { address, privateKey } of anvil.accounts) {
      expect(privateKeyToAccount(privateKey).address).toBe(address);
      expect(await client.getBalance({ address })).toBe(10_000n * 10n ** 18n);
    }
  } finally {
    await anvil.stop();
  }
});

test("four nodes started at once get four ports", async () => {
  const nodes = await Promise.all([1, 2, 3, 4].map(() => startAnvil()));
  await Promise.all(nodes.map((node) => node.stop()));
  expect(new Set(nodes.map((node) => node.rpcUrl)).size).toBe(4);
});

test("after stop the process is gone, and a second stop is harmless", async () => {
  const anvil = await startAnvil();
  expect(isAlive(anvil.pid)).toBe(true);
  await anvil.stop();
  expect(isAlive(anvil.pid)).toBe(false);
  await anvil.stop();
});

test("a busy port is named in the error", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const { port } = holder.address() as { port: number };
  try {
    await expect(startAnvil({ port })).rejects.toThrow(`port ${port} is busy`);
  } finally {
    holder.close();
  }
});

test("an asked port is the port", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  const anvil = await startAnvil({ port });
  await anvil.stop();
  expect(anvil.rpcUrl).toBe(`http://127.0.0.1:${port}`);
});

test("a platform without a binary gets the name of the package to install", () => {
  expect(() => anvilBinary("darwin", "riscv64")).toThrow("npm install @foundry-rs/anvil-darwin-riscv64");
  expect(() => anvilBinary("win32", "x64")).toThrow("npm install @foundry-rs/anvil-win32-amd64");
});

test("with a block time, blocks come without transactions", async () => {
  const anvil = await startAnvil({ blockTimeSeconds: 1 });
  try {
    const client = createPublicClient({ transport: http(anvil.rpcUrl), cacheTime: 0 });
    const first = await client.getBlockNumber();
    await expect.poll(() => client.getBlockNumber(), { timeout: 5_000 }).toBeGreaterThan(first);
  } finally {
    await anvil.stop();
  }
});

test.each(["SIGKILL", "return"])("a parent that ends by %s leaves no node behind", async (how) => {
  const parent = spawn(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", parentScript(how)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = once(parent, "exit");
  const [line] = (await once(createInterface(parent.stdout), "line")) as [string];
  const pid = Number(line);
  if (how !== "return") {
    expect(isAlive(pid)).toBe(true);
    parent.kill(how as NodeJS.Signals);
  }
  await ended;
  await expect.poll(() => isAlive(pid), { timeout: GONE_WITHIN_MS }).toBe(false);
});

function parentScript(how: string): string {
  const anvilUrl = new URL("../../../simulator/chain/anvil.ts", import.meta.url).href;
  const stay = how === "return" ? "" : "setInterval(() => {}, 1000);";
  return `import(${JSON.stringify(anvilUrl)}).then(async ({ startAnvil }) => { console.log((await startAnvil()).pid); ${stay} });`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
