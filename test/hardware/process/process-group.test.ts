// A command's processes are counted and held together, by a control group and by their environment alike.

import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { openCgroup } from "#hardware/process/cgroup";
import { type Command, startCommand } from "#hardware/process/command";
import { LOOK_MS } from "#hardware/process/process-tree";
import { DutyCycle, PERIOD_MS } from "#hardware/process/share-of-time";
import { until } from "../../device/node/broker.ts";

/** Burns one core until it is ended. */
const BURN = ["node", "-e", "for (;;);"];
/** What a kernel tick and a look may hide of a process, milliseconds. */
const SLACK_MS = LOOK_MS + 50;

const hasCgroup = (() => {
  try {
    void openCgroup("watt402-test-probe").kill();
    return true;
  } catch {
    return false;
  }
})();

const started: Command[] = [];
afterEach(async () => {
  for (const command of started.splice(0)) await command.close();
});

async function start(kind: "cgroup" | "tree", ...argv: readonly string[]): Promise<Command> {
  const command = await startCommand(argv, kind);
  started.push(command);
  return command;
}

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const KINDS = hasCgroup ? (["cgroup", "tree"] as const) : (["tree"] as const);

test.each(KINDS)(
  "by %s a command runs no instruction before it is allowed to, and none while it is held",
  async (kind) => {
    const { group } = await start(kind, ...BURN);
    await pass(3 * LOOK_MS);
    expect(group.usedMs()).toBeLessThan(SLACK_MS);
    group.allow(100);
    await until("the command to use half a second of CPU time", () => group.usedMs() > 500, 30_000);
    group.allow(0);
    const held = group.usedMs();
    await pass(3 * LOOK_MS);
    expect(group.usedMs() - held).toBeLessThanOrEqual(20);
    group.allow(100);
    await until("the command to go on", () => group.usedMs() > held + 100, 30_000);
  },
);

test.each(KINDS)(
  "by %s what children used counts, also of those that left their parent and of those that ended",
  async (kind) => {
    const burn = `const end = process.cpuUsage().user + 300_000; while (process.cpuUsage().user < end);`;
    const fork = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(burn)}], { detached: true, stdio: "ignore" }).unref()`;
    const { group, ended } = await start(
      kind,
      "sh",
      "-c",
      `"$0" -e "$1"; "$0" -e "$2"; exit 7`,
      process.execPath,
      burn,
      fork,
    );
    group.allow(100);
    expect(await ended).toBe(7);
    expect(group.alive()).toBe(0);
    // Two burners of 0.3 s each and three starts of Node; nothing of it is counted twice.
    expect(group.usedMs()).toBeGreaterThan(600 - (kind === "tree" ? SLACK_MS : 0));
    expect(group.usedMs()).toBeLessThan(2_500);
  },
);

test.each(KINDS)("by %s what is shown never falls while processes come and go", async (kind) => {
  const { group, ended } = await start(
    kind,
    "sh",
    "-c",
    "for i in 1 2 3 4 5 6; do node -e 'let n = 0; while (n < 5e7) n++' & done; wait",
  );
  group.allow(100);
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  let last = 0;
  while (!isOver) {
    const used = group.usedMs();
    expect(used).toBeGreaterThanOrEqual(last);
    last = used;
    await pass(20);
  }
  expect(last).toBeGreaterThan(100);
});

test.each(KINDS)(
  "by %s a command is ended when the process that pays for it dies without a word",
  async (kind) => {
    const program = `
    const { startCommand } = await import(${JSON.stringify(new URL("../../../hardware/process/command.ts", import.meta.url).href)});
    const { group } = await startCommand(["sh", "-c", "sleep 1000 & echo $! $$; wait"], ${JSON.stringify(kind)});
    group.allow(100);
    setInterval(() => {}, 1000);
    setTimeout(() => process.kill(process.pid, "SIGKILL"), 1500);
  `;
    const { stdout, signal } = spawnSync(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "-e", program],
      {
        encoding: "utf8",
        timeout: 60_000,
      },
    );
    expect(signal).toBe("SIGKILL");
    const pids = stdout.trim().split(/\s+/).map(Number);
    expect(pids).toHaveLength(2);
    await until(
      "the command's processes to be ended by the guard",
      () => pids.every((pid) => !isRunning(pid)),
      30_000,
    );
  },
);

test.each(KINDS)(
  "by %s a command that is not there ends with 127, and one that a signal ends with 128 and its number",
  async (kind) => {
    const missing = await start(kind, "watt402-no-such-command");
    missing.group.allow(100);
    expect(await missing.ended).toBe(127);
    const killed = await start(kind, "sh", "-c", "kill -TERM $$");
    killed.group.allow(100);
    expect(await killed.ended).toBe(143);
  },
);

test("a share of time is held by stopping and continuing, and 0 and 100 at once", async () => {
  const steps: [number, boolean][] = [];
  const duty = new DutyCycle((runs) => steps.push([performance.now(), runs]));
  onTestFinished(() => duty.stop());
  duty.allow(25);
  await until("two periods and more of running and standing", () => steps.length > 8, 30_000);
  duty.allow(0);
  const [lastMs, lastRuns] = steps.at(-1)!;
  expect(lastRuns).toBe(false);
  const ran = steps
    .slice(0, 8)
    .reduce((sum, [atMs, runs], at) => sum + (runs ? steps[at + 1]![0] - atMs : 0), 0);
  expect(ran / 4).toBeGreaterThanOrEqual(0.25 * PERIOD_MS - 5);
  expect(lastMs).toBeGreaterThan(steps[0]![0]);
  duty.allow(100);
  expect(steps.at(-1)![1]).toBe(true);
});

function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

test.runIf(hasCgroup)("a control group's count is the kernel's own", async () => {
  const { group } = await start("cgroup", ...BURN);
  group.allow(100);
  await until("some CPU time", () => group.usedMs() > 300, 30_000);
  group.allow(0);
  const path = group.location.replace("cgroup ", "");
  const kernel = /usage_usec (\d+)/.exec(execFileSync("cat", [`${path}/cpu.stat`], { encoding: "utf8" }))![1];
  expect(Math.abs(group.usedMs() - Number(kernel) / 1000)).toBeLessThan(5);
});
