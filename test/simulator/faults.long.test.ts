/** Evenings in which a program is killed or the broker goes away: no money lost, no lamp left dark. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { startBroker } from "../device/node/broker.ts";
import { endRuns, evening, expectSound, pass, RUN_MS, run } from "./evening.ts";
import { documentOf, pidOf } from "./process.ts";

afterEach(endRuns);

for (const victim of ["gateway", "seller"]) {
  test(
    `when the ${victim} is killed it comes back, every lamp is lit again, and nothing is charged twice`,
    async () => {
      const started = run("--lights", "5", "--minutes", "3", "--speed", "20");
      await evening(started);
      await pass(1_500);
      process.kill(pidOf(started, victim), "SIGKILL");
      const result = await documentOf(started);
      expect(started.stderr()).toContain(`${victim} ended (SIGKILL); starting it again`);
      expectSound(result, 5);
      expect(result.atEnd).toEqual({ lit: 5, dark: 0, starved: 0, offline: 0 });
      // Bought for after the restart too: three minutes are some six purchases for each light.
      expect(result.payments.made).toBeGreaterThanOrEqual(3 * 5);
      expect(await started.ended).toBe(0);
    },
    RUN_MS,
  );
}

test(
  "a broker elsewhere that is restarted in the middle costs no money and no light",
  async () => {
    // One account, for the gateway and every light.
    const folder = mkdtempSync(join(tmpdir(), "watt402-account-"));
    const passwordFile = join(folder, "password");
    writeFileSync(passwordFile, "all lights\n", { mode: 0o600 });
    const admits = (user: string, password: string) => user === "fleet" && password === "all lights";
    let broker = await startBroker({ admits });
    const { port } = broker;
    const account = ["--broker-user", "fleet", "--broker-password-file", passwordFile];
    try {
      const url = `mqtt://127.0.0.1:${port}`;
      const started = run("--broker", url, ...account, "--lights", "4", "--minutes", "3", "--speed", "20");
      await evening(started);
      await pass(1_500);
      await broker.close();
      await pass(500);
      broker = await startBroker({ port, admits });
      const result = await documentOf(started);
      expect(started.stderr()).toMatch(/light.*: broker mqtt:/);
      expectSound(result, 4);
      expect(result.atEnd).toEqual({ lit: 4, dark: 0, starved: 0, offline: 0 });
      expect(await started.ended).toBe(0);
    } finally {
      await broker.close();
      rmSync(folder, { recursive: true });
    }
  },
  RUN_MS,
);
