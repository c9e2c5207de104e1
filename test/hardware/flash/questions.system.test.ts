import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { freshCard, GATEWAY_KEY, lightOptions, tempFolder } from "./installer.ts";

const COMMAND = new URL("../../../hardware/flash/watt402-flash.mjs", import.meta.url).pathname;

/** Longest conversation, milliseconds: a slow machine thinks seconds before the first question. */
const ANSWERED_MS = 90_000;

let folder: string;
beforeEach(() => {
  folder = tempFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A terminal of util-linux' `script`, and somebody who answers when a question stands there. */
function answered(args: readonly string[], answers: readonly (readonly [string, string])[]): Promise<string> {
  const line = [process.execPath, COMMAND, ...args].map((word) => `'${word}'`).join(" ");
  const terminal = spawn("script", ["-qec", line, "/dev/null"], { env: { ...process.env, TERM: "xterm" } });
  const waiting = [...answers];
  let seen = "";
  let from = 0;
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      terminal.kill("SIGKILL");
      reject(new Error(`expected an end within ${ANSWERED_MS} ms, found it waiting:\n${seen}`));
    }, ANSWERED_MS);
    terminal.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      const [next] = waiting;
      const at = next === undefined ? -1 : seen.indexOf(next[0], from);
      if (next === undefined || at < 0) return;
      waiting.shift();
      from = seen.length;
      terminal.stdin.write(`${next[1]}\r`);
    });
    terminal.once("error", reject);
    terminal.once("close", (code) => {
      clearTimeout(limit);
      if (code === 0 && waiting.length === 0) resolve(seen);
      else reject(new Error(`ended with ${code}, ${waiting.length} answers not asked for:\n${seen}`));
    });
  });
}

it("without options it asks for all it needs, checks each answer at once, and writes the card", async () => {
  const card = freshCard(folder);
  const debian = lightOptions(folder).slice(-2);
  const down = "\u001b[B";
  await answered(
    ["pi", ...debian],
    [
      ["out:", card],
      ["hostname:", "Pole 7"],
      ["expected 1..63", "\u0015pole-7"],
      ["gateway:", "mqtts://gateway.test"],
      ["gateway-key:", GATEWAY_KEY],
      ["meter:", ""],
      ["simulated's keys", ""],
      ["lamp:", down],
      ["led's keys", "gpio=22"],
      ["rated-watts:", "60"],
      ["sun:", "52.52,13.405"],
      ["ssh-key:", ""],
      ["Wi-Fi?", "y"],
      ["wifi-ssid:", "a network"],
      ["wifi-country:", "DE"],
      ["wifi-password:", "correct horse"],
    ],
  );
  expect(existsSync(join(card, "user-data"))).toBe(true);
  expect(readFileSync(join(card, "watt402/device.toml"), "utf8")).toContain("rated_milliwatts = 60000");
  expect(readFileSync(join(card, "config.txt"), "utf8")).toContain("gpio=22=op,dl");
  expect(readFileSync(join(card, "network-config"), "utf8")).toMatch(/a network:\n\s+password: [0-9a-f]{64}/);
});
