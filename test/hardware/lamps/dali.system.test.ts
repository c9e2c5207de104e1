import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HAT_BAUD } from "#hardware/lamps/dali/dali-hat";
import { openLamp } from "#hardware/lamps/open-lamp";
import { openSysfs } from "#hardware/lamps/pwm/sysfs";
import { CHECK_MS } from "#hardware/lamps/steady-lamp";
import { systemClock } from "#node/clock";
import { until } from "../../device/node/broker.ts";
import { openPair } from "../serial-line.ts";

describe("a DALI lamp on a real serial port", () => {
  it("is missed when the adapter goes while its level stays, and set again when it is back", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dali-"));
    const sent: string[] = [];
    const plug = () =>
      openPair(folder, HAT_BAUD, (far) =>
        far.on("data", (chunk: Buffer) => {
          sent.push(...chunk.toString("latin1").trim().split("\n"));
          far.write("N\n");
        }),
      );
    let pair = await plug();
    const context = { clock: systemClock(), ratedMilliwatts: 60_000, sysfs: openSysfs("/nowhere") };
    const { lamp } = openLamp({ kind: "dali", serial: pair.near, address: -1 }, context, () => 0.5);
    try {
      lamp.set(100);
      await until("full light", () => sent.includes("hFEFE"));
      await pair.close();
      await until("the trouble", () => lamp.trouble() !== null, 2 * CHECK_MS);
      expect(lamp.trouble()).toContain("serial port");
      sent.length = 0;
      pair = await plug();
      await until("full light again", () => sent.includes("hFEFE") && lamp.trouble() === null, 60_000);
      // Between levels the HAT is asked, by an address that need not be there.
      const asked = sent.length;
      await until("a look", () => sent.length > asked, 2 * CHECK_MS);
      expect(sent.at(-1)).toBe("h7F90");
    } finally {
      await lamp.close();
      await pair.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
