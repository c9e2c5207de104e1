import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { notifyServiceManager } from "#hardware/pi/service-manager";
import { until } from "../../device/node/broker.ts";

/** Stands for systemd's command: same arguments, written down. */
const NOTIFY = `#!/bin/sh
printf '%s|' "$@" >> "$SAID"
echo "to $NOTIFY_SOCKET" >> "$SAID"
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "notify-"));
  writeFileSync(join(folder, "systemd-notify"), NOTIFY);
  chmodSync(join(folder, "systemd-notify"), 0o755);
  writeFileSync(join(folder, "said"), "");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const said = () => readFileSync(join(folder, "said"), "utf8").trim().split("\n").filter(Boolean);

function manager(more: NodeJS.ProcessEnv, troubles: string[] = []) {
  const life = { alive: true };
  const environment = { PATH: `${folder}:${process.env.PATH}`, SAID: join(folder, "said"), ...more };
  const reported = notifyServiceManager(
    { isAlive: () => life.alive, status: () => "lamp 100 %", onTrouble: (text) => troubles.push(text) },
    environment,
  );
  return { reported, life };
}

describe("the service manager", () => {
  it("is notified when the device is up, and its watchdog is fed only while the machine advances", async () => {
    const { reported, life } = manager({ NOTIFY_SOCKET: "/run/notify", WATCHDOG_USEC: "200000" });
    reported.ready();
    await until("the first word", () => said().length > 0);
    expect(said()[0]).toBe("READY=1|STATUS=lamp 100 %|to /run/notify");
    await until("food for the watchdog", () => said().some((line) => line.startsWith("WATCHDOG=1|")));
    life.alive = false;
    const before = said().length;
    await until("more words", () => said().length > before + 3);
    // One may have been on its way.
    expect(
      said()
        .slice(before + 1)
        .filter((line) => line.includes("WATCHDOG")),
    ).toEqual([]);
    life.alive = true;
    const starved = said().length;
    await until("food again", () =>
      said()
        .slice(starved)
        .some((line) => line.includes("WATCHDOG=1")),
    );
    reported.stopping();
    reported.close();
    await until("the last word", () => said().some((line) => line.includes("STOPPING=1")));
  });

  it("is not notified where there is none", async () => {
    const { reported } = manager({});
    reported.ready();
    reported.stopping();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(said()).toEqual([]);
  });

  it("is reported in one line when it cannot be notified", async () => {
    const troubles: string[] = [];
    const { reported } = manager({ NOTIFY_SOCKET: "/run/notify", PATH: join(folder, "none") }, troubles);
    reported.ready();
    await until("a word about it", () => troubles.length > 0);
    expect(troubles[0]).toContain(
      "systemd-notify: expected to notify the service manager, found: spawn systemd-notify ENOENT",
    );
    reported.close();
  });
});
