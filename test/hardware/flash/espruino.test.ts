import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "smol-toml";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { espruinoCommand } from "#hardware/flash/board/espruino-command";
import { fromHex, type Hex, toHex } from "#payment/bytes";
import { batchSettlementSeparator } from "#payment/channel";
import { openKey, recoverAddress } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { voucherDigest } from "#payment/voucher";
import { boardAlmanac } from "../../../device/espruino/clock/board-almanac.ts";
import { ladderLength, minutesOfLight } from "../../../device/espruino/flash/ladder-length.ts";
import { tokenised } from "../../../hardware/espruino/build/tokens.ts";
import type { BoardFile } from "../../../hardware/espruino/parts.ts";

const SAMPLE = readFileSync(new URL("../../../hardware/pi/device.sample.toml", import.meta.url), "utf8");
const CHANNEL = `0x${"1a".repeat(32)}`;
const CHAIN = 84_532;

let folder = "";
let said = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "watt402-espruino-"));
  said = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    said += String(text);
    return true;
  });
  writeFileSync(
    join(folder, "device.toml"),
    SAMPLE.replace("mqtts://gateway.example:8883", "mqtt://gateway.example:1883"),
  );
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

async function flash(...options: readonly string[]): Promise<string> {
  said = "";
  const fixed = ["--config", join(folder, "device.toml"), "--key", join(folder, "light.key")];
  const out =
    options.includes("--port") || options.includes("--dry-run") ? [] : ["--out", join(folder, "out")];
  try {
    await espruinoCommand()
      .exitOverride()
      .parseAsync([...fixed, ...out, ...options], { from: "user" });
    return said;
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

describe("watt402-flash espruino", () => {
  it("writes the program and what a board is to know: its key, its gateway's tag key, its policy, its first night", async () => {
    const reported = JSON.parse(
      await flash(
        "--json",
        "--meter",
        "pulse,pin=D18,impulses=1000",
        "--first-night",
        `${CHANNEL},500,100,20`,
      ),
    );
    const out = (name: string) => readFileSync(join(folder, "out", name));
    const secret = fromHex(readFileSync(join(folder, "light.key"), "utf8").trim() as Hex);
    const key = openKey(secret);
    expect(reported).toMatchObject({ board: "esp32", address: key.address, rungsMax: 784 });
    expect(reported.programBytes).toBe(out("bootcde.bin").length);
    expect(tokenised(out("light.js").toString())).toBe(out("bootcde.bin").toString("latin1"));
    expect(reported.flashBytes).toBeLessThan(reported.flashBytesMax);

    const file = JSON.parse(out("w402.json").toString("ascii")) as BoardFile;
    const gatewayKey = fromHex(/^public_key = "(.*)"$/m.exec(SAMPLE)![1] as Hex);
    expect(file).toMatchObject({ device: key.address.slice(2), publicKey: toHex(key.publicKey) });
    expect(file.broker).toEqual({ host: "gateway.example", port: 1883 });
    expect(file.time).toEqual({ host: "gateway.example", port: 80 });
    expect(file.meter).toEqual({ kind: "pulse", pin: "D18", impulsesPerKilowattHour: 1000, debounceMs: 5 });
    const secrets = Buffer.concat([secret, tagKeyBetween(key, gatewayKey), batchSettlementSeparator(CHAIN)]);
    expect(out("w402.key").equals(secrets)).toBe(true);
    expect(statSync(join(folder, "light.key")).mode & 0o777).toBe(0o600);

    const rungs = out("w402.rungs");
    expect(rungs.length).toBe(46 + 20 * 65);
    for (let rung = 1; rung <= 20; rung++) {
      const signature = new Uint8Array(rungs.subarray(46 + (rung - 1) * 65, 46 + rung * 65));
      expect(recoverAddress(voucherDigest(CHANNEL, 500 + 100 * rung, CHAIN), signature)).toBe(key.address);
    }
  });

  it("never makes a second key, and touches nothing in a dry run", async () => {
    await flash("--dry-run");
    expect(readdirSync(folder)).toEqual(["device.toml"]);
    const first = JSON.parse(await flash("--json")).address;
    expect(JSON.parse(await flash("--json")).address).toBe(first);
  });

  it("says what a board has no room for, and what no board can do", async () => {
    const wifi = await flash("--board", "espruinowifi", "--first-night", `${CHANNEL},500,100,200`);
    expect(wifi).toContain("expected at most 65536 bytes of files on Espruino WiFi");
    expect(readdirSync(folder)).not.toContain("out");
    const onWifi = (meter: string) => flash("--board", "espruinowifi", "--dry-run", "--meter", meter);
    expect(await onWifi("cse7766,rx=A3")).toContain("expected a meter without a serial port, found cse7766");
    expect(await onWifi("pulse,pin=A14,impulses=1")).toContain(
      "pin: expected a pin of Espruino WiFi, found A14",
    );
    expect(await flash("--meter", "pulse,pin=A5,impulses=1")).toContain(
      "pin: expected a pin of ESP32, found A5",
    );
    expect(await flash("--meter", "pulse,pin=D5")).toContain(
      "impulses: expected a number in 1..1000000, found none",
    );
    expect(await flash("--meter", "steam")).toContain("expected one of simulated, pulse");
    expect(await flash("--lamp", "relay,pin=D5,colour=red")).toContain("colour: expected no such key");
    expect(await flash("--first-night", "x")).toContain("expected channel id, charged, quantum");
    expect(await flash("--out", "x", "--port", "tcp://127.0.0.1:1")).toContain(
      "expected either --port or --out",
    );
    writeFileSync(join(folder, "device.toml"), SAMPLE);
    expect(await flash()).toContain("expected mqtt://, as a board's TLS checks no certificate");
    const token = { network: "eip155:1", asset: `0x${"ab".repeat(20)}`, payees: [] };
    const limits = { price_ceiling_per_million_units: 1, quantum_max_atomic: 1, daily_budget_atomic: 1 };
    const two = parse(SAMPLE) as { policy: object };
    writeFileSync(
      join(folder, "device.toml"),
      stringify({ ...two, policy: { ...two.policy, tokens: [{ ...token, ...limits }] } }),
    );
    expect(await flash()).toContain("policy.tokens: expected none, as a board pays with one token, found 1");
    writeFileSync(join(folder, "device.toml"), SAMPLE.replace("# password_file", "password_file"));
    expect(await flash()).toContain("gateway.password_file: expected none, as a board logs in by its key");
  });

  it.each([
    ["esp32", "cse7766,serial=Serial2,rx=D16", "pwm,pin=D4,hertz=1000,relay=D5"],
    ["espruinowifi", "hlw8012,cf=B3,milliwatts_per_hertz=1.7", "relay,pin=B4"],
    ["espruinowifi", "ina226,sda=B9,scl=B8,shunt_microohms=2000", "pwm,pin=B5,hertz=1000,relay=B4"],
  ])("fits %s, with its largest drivers too: %s, %s", async (board, meter, lamp) => {
    const wifi = ["--wifi-ssid", "a street's own network, 32 bytes"];
    const parts = ["--board", board, "--meter", meter, "--lamp", lamp, ...wifi];
    const reported = JSON.parse(await flash("--json", "--dry-run", ...parts));
    expect(reported).toMatchObject({ board, dryRun: true });
    expect(reported.flashBytes).toBeLessThanOrEqual(reported.flashBytesMax);
    expect(reported.variables).toBeLessThanOrEqual(reported.variablesMax);
  });

  it("gives the board the sun's plan week by week, and the longest night of the year", async () => {
    await flash("--json");
    const file = JSON.parse(readFileSync(join(folder, "out", "w402.json"), "utf8")) as BoardFile;
    const plan = boardAlmanac(file.plan);
    const winter = plan.plan(Date.UTC(2026, 11, 21) / 1000);
    const summer = plan.plan(Date.UTC(2027, 5, 21) / 1000);
    const minutes = (steps: typeof winter) => steps.map(({ minuteOfDay }) => minuteOfDay);
    // Berlin, civil twilight: 06:34 to 15:36 UTC in December, 01:53 to 20:23 in June.
    expect(Math.abs(minutes(winter)[0]! - 394)).toBeLessThan(10);
    expect(Math.abs(minutes(winter)[1]! - 936)).toBeLessThan(10);
    expect(Math.abs(minutes(summer)[0]! - 113)).toBeLessThan(15);
    expect(Math.abs(minutes(summer)[1]! - 1223)).toBeLessThan(15);
    expect(file.longestNightMs / 3_600_000).toBeGreaterThan(14.5);
    expect(file.longestNightMs / 3_600_000).toBeLessThan(15.2);
  });
});

describe("the ladder's length", () => {
  it("is the night's energy in quanta, and some to spare: at least what keeps the lamp lit", () => {
    const night = {
      longestMs: 15 * 3_600_000,
      ratedMilliwatts: 60_000,
      quantumAtomic: 500,
      pricePerMillionUnits: 200_000,
    };
    expect(ladderLength(night)).toBe(2 + 360);
    expect(minutesOfLight(360, night)).toBe(15 * 60);
    expect(ladderLength({ ...night, pricePerMillionUnits: 400_000 })).toBe(2 + 720);
    expect(ladderLength({ ...night, longestMs: 0 })).toBe(2);
  });
});
