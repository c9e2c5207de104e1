// Prometheus' own tool reads the alert rules and runs them on made-up numbers.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStage } from "../http/fixtures.ts";

const FOLDER = "gateway/operations";
const promtool = (args: readonly string[], cwd = FOLDER, input?: string) =>
  execFileSync("promtool", args, { cwd, encoding: "utf8", ...(input === undefined ? {} : { input }) });

test("promtool finds the rules well formed, and each says what it should", () => {
  const rules = readFileSync(`${FOLDER}/prometheus-alerts.yml`, "utf8").match(/- alert: /g)!.length;
  expect(promtool(["check", "rules", "prometheus-alerts.yml"])).toContain(`SUCCESS: ${rules} rules found`);
  expect(promtool(["test", "rules", "prometheus-alerts.test.yml"])).toContain("SUCCESS");
});

test("a rule that says something else is noticed", () => {
  const directory = mkdtempSync(join(tmpdir(), "watt402-rules-"));
  const rules = readFileSync(`${FOLDER}/prometheus-alerts.yml`, "utf8");
  writeFileSync(
    join(directory, "prometheus-alerts.yml"),
    rules.replace("watt402_up == 0", "watt402_up == 7"),
  );
  const tests = readFileSync(`${FOLDER}/prometheus-alerts.test.yml`, "utf8");
  writeFileSync(join(directory, "prometheus-alerts.test.yml"), tests);
  expect(() => promtool(["test", "rules", "prometheus-alerts.test.yml"], directory)).toThrow();
  rmSync(directory, { recursive: true, force: true });
});

test("promtool reads the gateway's metrics, and finds no fault in ours", async () => {
  const stage = await openStage();
  stage.hello(1);
  stage.pay(1);
  const text = await (await fetch(`${stage.url}/metrics`)).text();
  await stage.close();
  const ours = text
    .split("\n")
    .filter((line) => /^(# (HELP|TYPE) )?watt402_/.test(line))
    .join("\n");
  expect(promtool(["check", "metrics"], FOLDER, `${ours}\n`)).toBe("");
});
