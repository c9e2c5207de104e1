/** Children that are killed, that crash, that never start, and whose parent is killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort } from "#simulator/services/free-port";
import { type Supervised, supervise } from "#simulator/services/supervised";
import { isRunning, until } from "../process.ts";

const CHILD = new URL("child.mjs", import.meta.url).href;
const PARENT = fileURLToPath(new URL("parent.mjs", import.meta.url));

let directory: string;
let pidFile: string;
let troubles: string[];
let child: Supervised<{ port: number }> | null;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "supervised-"));
  pidFile = join(directory, "pids");
  troubles = [];
  child = null;
});
afterEach(async () => {
  await child?.stop();
  rmSync(directory, { recursive: true });
});

async function raise(mode: string, restartsMax?: number): Promise<Supervised<{ port: number }>> {
  child = await supervise<{ port: number }>({
    name: "child",
    launcher: CHILD,
    args: [mode, String(await freePort()), pidFile],
    onTrouble: (text) => troubles.push(text),
    ...(restartsMax === undefined ? {} : { restartsMax }),
  });
  return child;
}

const started = () => readFileSync(pidFile, "utf8").trim().split("\n").map(Number);

test("a child that is killed comes back on the same port, and its end is reported", async () => {
  const program = await raise("runs");
  const first = program.pid();
  process.kill(first, "SIGKILL");
  await until("another process answers", () => program.pid() !== first);
  const answer = await fetch(`http://127.0.0.1:${program.ready.port}`);
  expect(await answer.text()).toBe(String(program.pid()));
  expect(troubles).toEqual(["child ended (SIGKILL); starting it again"]);
});

test("a child that crashes again and again is given up after the bound", async () => {
  const program = await raise("crashes", 3);
  await until("it is given up", () => troubles.length === 4);
  expect(started()).toHaveLength(4);
  expect(troubles[3]).toBe("child ended (exit code 3); not started again after 3 times");
  await program.stop();
  expect(started().filter(isRunning)).toEqual([]);
});

test("stop ends the child with its last message, and is harmless a second time", async () => {
  const program = await raise("runs");
  const last = { stopped: true, pid: program.pid() };
  expect(await program.stop()).toEqual(last);
  expect(await program.stop()).toEqual(last);
  expect(isRunning(program.pid())).toBe(false);
  expect(troubles).toEqual([]);
});

test("stop in the middle of a restart leaves nothing running", async () => {
  const program = await raise("runs");
  process.kill(program.pid(), "SIGKILL");
  await until("its end is seen", () => troubles.length === 1);
  await program.stop();
  expect(started().filter(isRunning)).toEqual([]);
});

test("a child that does not start says why in its own words, in one line", async () => {
  await expect(raise("fails")).rejects.toThrow(/^child: expected a good day, found none$/);
  await expect(raise("throws")).rejects.toThrow(/^Error: nobody caught this$/);
  expect(started().filter(isRunning)).toEqual([]);
});

test("a child whose parent is killed is gone soon after", async () => {
  const parent = spawn(process.execPath, [PARENT, CHILD, String(await freePort()), pidFile], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = (await once(parent.stdout!, "data")) as [Buffer];
  const pid = Number(String(said));
  expect(isRunning(pid)).toBe(true);
  parent.kill("SIGKILL");
  await until("the child is gone", () => !isRunning(pid));
});

test("a child that is interrupted stays down until it is released, and is back when that resolves", async () => {
  const program = await raise("runs");
  const first = program.pid();
  const release = program.interrupt();
  await until("it is gone", () => !isRunning(first));
  // Longer than a restart waits.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(started()).toEqual([first]);
  await release();
  expect(started()).toHaveLength(2);
  const answer = await fetch(`http://127.0.0.1:${program.ready.port}`);
  expect(Number(await answer.text())).toBe(program.pid());
  await release();
  expect(started()).toHaveLength(2);
});

test("a child that is interrupted and released at once is back when that resolves", async () => {
  const program = await raise("runs");
  const first = program.pid();
  await program.interrupt()();
  expect(program.pid()).not.toBe(first);
  expect(isRunning(program.pid())).toBe(true);
});

test("a parent that ends while its child is held down leaves nothing running", async () => {
  const program = await raise("runs");
  program.interrupt();
  await program.stop();
  expect(started().filter(isRunning)).toEqual([]);
  expect(started()).toHaveLength(1);
});
