// The utility as a process: what it prints, how it ends, and what it says when it cannot start.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DATABASE_FILE } from "#simulator/seller/accounts/sqlite-file";
import { bundleUtility } from "./bundle.ts";
import { type Ground, prepareGround } from "./fixtures.ts";
import { spawnUtility, utilityArguments } from "./process.ts";

let ground: Ground;
let bundle: string;
beforeAll(async () => {
  ground = await prepareGround();
  bundle = await bundleUtility(await ground.directory());
});
afterAll(() => ground.stop());

async function refusal(args: readonly string[]): Promise<string> {
  const { code, stderr, stdout } = await spawnUtility(bundle, args).ended;
  expect(code).toBe(1);
  expect(stdout).toBe("");
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(stderr).not.toMatch(/\n\s+at /);
  return stderr;
}

describe("the process", () => {
  test("says when it is ready, and on SIGTERM claims, settles, reports and exits 0", async () => {
    const directory = await ground.directory();
    const utility = spawnUtility(bundle, await utilityArguments(ground, directory));
    const url = await utility.ready;
    const buyer = (await ground.payer()).batch();
    for (let rung = 0; rung < 3; rung += 1) {
      const bought = await buyer.fetch(`${url}/v1/energy?quantum=1000`, { method: "POST" });
      expect(bought.status).toBe(200);
    }
    utility.child.kill("SIGTERM");
    utility.child.kill("SIGINT");
    const { code, stdout, messages } = await utility.ended;
    expect(code).toBe(0);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { report?: object });
    expect(lines).toHaveLength(2);
    expect(messages).toEqual(lines);
    expect(lines[1]!.report).toMatchObject({
      claims: { transactions: 1, channels: 1 },
      settles: { transactions: 1, amountAtomic: 3_000 },
      deposits: { transactions: 1 },
    });
  });
});

test("a seller whose parent is gone ends as if it had been asked to", async () => {
  const utility = spawnUtility(bundle, await utilityArguments(ground, await ground.directory()));
  await utility.ready;
  utility.child.disconnect();
  const { code, stdout, stderr } = await utility.ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain('"stopped":true');
});

describe("what keeps it from starting is one line and exit 1", () => {
  test("a busy port", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const args = await utilityArguments(ground, await ground.directory());
    const line = await refusal([...args, "--port", String(port)]);
    expect(line).toContain(`port ${port} on 127.0.0.1: in use`);
    server.close();
  });

  test("a node that does not answer, a node of another chain, a token without code", async () => {
    const args = await utilityArguments(ground, await ground.directory());
    const nobody = "0x00000000000000000000000000000000000000aa";
    const lines = await Promise.all([
      refusal([...args, "--rpc", "http://127.0.0.1:1"]),
      refusal([...args, "--chain-id", "8453"]),
      refusal([...args, "--token", nobody]),
    ]);
    expect(lines[0]).toContain("http://127.0.0.1:1");
    expect(lines[1]).toContain("expected chain id 8453, found 31337");
    expect(lines[2]).toContain(`token ${nobody}: expected a contract`);
  });

  test("a data directory that is a file, a damaged database, a database of another seller", async () => {
    const directory = await ground.directory();
    const file = join(directory, "file");
    await writeFile(file, "");
    const damaged = join(directory, "damaged");
    await mkdir(damaged);
    await writeFile(
      join(damaged, DATABASE_FILE),
      "this is no database, but long enough to look at".repeat(200),
    );
    const args = await utilityArguments(ground, directory);
    const other = await ground.start({ dataDirectory: join(directory, "other") });
    await other.stop();
    const otherKey = join(directory, "other.key");
    await writeFile(otherKey, ground.anvil.accounts[3]!.privateKey);
    const lines = await Promise.all([
      refusal([...args, "--data", file]),
      refusal([...args, "--data", damaged]),
      refusal([...args, "--data", join(directory, "other"), "--receiver-key", otherKey]),
    ]);
    expect(lines[0]).toContain(`data directory ${file}`);
    expect(lines[1]).toContain("expected a sound SQLite file");
    expect(lines[2]).toContain("expected receiver");
    expect(await readFile(join(damaged, DATABASE_FILE), "utf8")).toContain("this is no database");
  });

  test("a database another utility has open, a key that is none, a tariff that is none", async () => {
    const directory = await ground.directory();
    const args = await utilityArguments(ground, directory);
    const running = await ground.start({ dataDirectory: join(directory, "data") });
    const badKey = join(directory, "bad.key");
    await writeFile(badKey, "not a key");
    const lines = await Promise.all([
      refusal(args),
      refusal([...args, "--receiver-key", badKey]),
      refusal([...args, "--tariff", "cheap"]),
    ]);
    expect(lines[0]).toContain("in use by another process");
    expect(lines[1]).toContain("expected 0x and 64 hex digits");
    expect(lines[1]).not.toContain("not a key");
    expect(lines[2]).toContain('found "cheap"');
    await running.stop();
  });
});
