import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createPublicClient, http } from "viem";
import { expect, test } from "vitest";

const LAUNCHER = fileURLToPath(new URL("../../../simulator/watt402-simulate.mjs", import.meta.url));

test("a development chain alone answers until it is stopped, and stops its node too", async () => {
  const chain = spawn(process.execPath, [LAUNCHER, "chain", "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(chain.stdout, "data")) as [Buffer];
  const { rpcUrl, token } = JSON.parse(line.toString()) as { rpcUrl: string; token: `0x${string}` };
  const client = createPublicClient({ transport: http(rpcUrl, { retryCount: 0 }) });
  // Longer than an event loop without handles would live.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(await client.getChainId()).toBe(31_337);
  expect(await client.getCode({ address: token })).toMatch(/^0x[0-9a-f]{100}/);

  chain.kill("SIGTERM");
  const [code] = await once(chain, "exit");
  expect(code).toBe(0);
  await expect(client.getChainId()).rejects.toThrow();
});
