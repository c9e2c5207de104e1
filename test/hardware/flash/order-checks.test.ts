import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { withBootLines, withKernelWords } from "#hardware/flash/card/boot-text";
import { networkConfig, wpaKey } from "#hardware/flash/card/cloud-init";
import type { FieldName } from "#hardware/flash/order/fields";
import { readOrder } from "#hardware/flash/order/order";
import { lampNames, meterNames } from "#hardware/flash/order/part-choice";
import { LAMP_KINDS } from "#hardware/lamps/settings";
import { shippedMaps } from "#hardware/meters/modbus/map-table";
import { METER_KINDS } from "#hardware/meters/settings";
import { GATEWAY_KEY, ownMap, SSH_KEY, tempFolder } from "./installer.ts";

type Values = Partial<Record<FieldName, string>>;

const GOOD: Values = {
  hostname: "pole-7",
  gateway: "mqtts://gateway.test:8883",
  "gateway-key": GATEWAY_KEY,
  meter: "sdm120",
  lamp: "led",
  "rated-watts": "60",
  sun: "52.52,13.405",
};

function judged(more: Values, set: Readonly<Record<string, string>> = {}) {
  return readOrder({ values: { ...GOOD, ...more }, set });
}
function faults(more: Values, set: Readonly<Record<string, string>> = {}): string[] {
  const result = judged(more, set);
  return "faults" in result ? result.faults.map(({ field, text }) => `${field}: ${text}`) : [];
}
function bootLines(more: Values): readonly string[] {
  const result = judged(more);
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  return result.order.bootLines;
}

describe("an order", () => {
  it("checks a register map of the installer's own as the device will, and that the meter is the map's", () => {
    const folder = tempFolder();
    try {
      const map = ownMap(folder, (json) => ({ ...json, name: "my-meter" }));
      expect(faults({ map, meter: "my-meter,slave=3" })).toEqual([]);
      expect(faults({ map })).toEqual([
        'meter: expected "my-meter", as the map calls its meter, found "sdm120"; or leave map out',
      ]);
      expect(faults({ map, meter: "my-meter,slave=300" })).toEqual([
        "meter: meter.driver.slave: expected an integer in 1..247, found 300",
      ]);
      expect(faults({ map: join(folder, "none.json"), meter: "my-meter" })).toEqual([
        `map: register map "${folder}/none.json": expected a readable file, found ENOENT`,
      ]);
      expect(faults({ map: "sdm120" })).toEqual([
        'map: expected a register map, a .json file, found "sdm120"',
      ]);
      ownMap(folder, ({ registers, ...json }) => {
        const { power, current, ...others } = registers as Record<string, object>;
        return { ...json, registers: { ...others, power, current: { ...current, address: 12 } } };
      });
      expect(faults({ map })).toEqual([
        `map: register map "${map}": power (input 12..13) and current (input 12..13) overlap; correct the address or the type of one`,
      ]);
      ownMap(folder, (json) => ({ ...json, name: "pulse" }));
      expect(faults({ map })[0]).toContain('name: expected one that is no kind of meter, found "pulse"');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.each<[Values, string]>([
    [
      { hostname: "Pole_7" },
      'hostname: expected 1..63 of a-z, 0-9 and hyphens, none at the ends, found "Pole_7"',
    ],
    [
      { hostname: "a".repeat(64) },
      `hostname: expected 1..63 of a-z, 0-9 and hyphens, none at the ends, found "${"a".repeat(64)}"`,
    ],
    [{ gateway: "http://gw" }, "gateway: expected mqtt"],
    [{ gateway: "" }, "gateway: expected a value, found none"],
    [{ "gateway-key": "0x02" }, "gateway-key: expected a compressed secp256k1 key"],
    [
      { "gateway-key": `0x02${"ff".repeat(32)}` },
      "gateway-key: expected a compressed secp256k1 key, 0x02 or 0x03 and 64 hex digits that name a point",
    ],
    [{ meter: "sdm999" }, "meter: expected one of simulated, ina219"],
    [{ meter: "sdm120,slave=400" }, "meter: meter.driver.slave: expected an integer in 1..247, found 400"],
    [{ meter: "sdm120,slavee=4" }, "meter: meter.driver.slavee: expected no such key; check its spelling"],
    [{ meter: "ina226" }, "expected shunt_microohms and current_max_milliamps"],
    [{ lamp: "disco" }, "lamp: expected one of simulated, led, gpio, pwm"],
    [{ lamp: "led,gpio=40" }, 'lamp: gpio: expected a GPIO of the header, 2..27, found "40"'],
    [{ lamp: "pwm" }, "lamp: lamp.driver"],
    [{ lamp: "pwm,gpio=18,active_low=true" }, "lamp: active_low: expected no such key"],
    [{ lamp: "led,label=street" }, 'lamp: label: expected one that begins with "lamp", found "street"'],
    [{ lamp: "pwm,gpio=18,relay_gpio=5" }, "lamp: relay_gpio: expected no such key"],
    [{ "rated-watts": "sixty" }, 'rated-watts: expected watts like 60 or 12.5, found "sixty"'],
    [{ sun: "95,13" }, "sun: expected a number in -90..90, found 95"],
    [{ sun: "" }, "sun: expected either sun or steps, found neither"],
    [{ steps: "16:30=100" }, "sun: expected either sun or steps, found both"],
    [{ sun: "", steps: "25:00=10" }, "steps: expected a UTC time of day"],
    [{ payees: "0x12" }, "payees: expected 0x and 40 hex digits"],
    [{ user: "root" }, 'user: expected an account of its own, found "root"'],
    [{ "ssh-key": "ssh-rsa AAAA" }, 'ssh-key: expected one OpenSSH public key, found "ssh-rsa AAAA"'],
    [{ "ssh-key": "/nowhere.pub" }, "ssh-key: expected a key or a readable file, found none: /nowhere.pub"],
    [
      { "wifi-ssid": "s".repeat(33), "wifi-password": "12345678", "wifi-country": "DE" },
      "wifi-ssid: expected 1..32 bytes, found 33",
    ],
    [
      { "wifi-ssid": "net", "wifi-password": "1234567", "wifi-country": "DE" },
      "wifi-password: expected 8..63 plain characters or a key of 64 hex digits, found 7 characters",
    ],
    [
      { "wifi-ssid": "net", "wifi-password": "12345678", "wifi-country": "XQ" },
      'wifi-country: expected a country of two letters like DE, found "XQ"',
    ],
    [{ "wifi-password": "12345678" }, "wifi-ssid: expected the network that the password is for, found none"],
  ])("with %o is refused by its field", (more, text) => {
    expect(faults(more).join("\n")).toContain(text);
  });

  it("with several faults names them all", () => {
    expect(faults({ hostname: "", meter: "x", "wifi-password": "y" })).toHaveLength(3);
  });

  it("takes every meter and lamp that there is a driver for, by the drivers' own names", () => {
    const kinds = Object.keys(METER_KINDS).filter((kind) => kind !== "modbus");
    expect(meterNames()).toEqual([...kinds, ...shippedMaps().map(({ name }) => name)]);
    expect(lampNames()).toEqual(Object.keys(LAMP_KINDS));
    for (const { name } of shippedMaps()) expect(faults({ meter: name }), name).toEqual([]);
  });

  it("takes any key of device.toml, and refuses one that the device does not know", () => {
    expect(faults({}, { "policy.daily_budget_atomic": "200000", "device.model": "x y" })).toEqual([]);
    expect(faults({}, { "policy.daily_budget": "200000" })).toEqual([
      "set: policy.daily_budget: expected no such key; check its spelling",
    ]);
    expect(faults({}, { "gateway.broker.url": "1" })[0]).toContain("expected a section before the last dot");
  });

  it("reads an installer's key from a file, and never takes a private one", () => {
    const folder = tempFolder();
    try {
      const file = join(folder, "id.pub");
      writeFileSync(file, `${SSH_KEY}\n`);
      expect(faults({ "ssh-key": file })).toEqual([]);
      writeFileSync(file, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
      expect(faults({ "ssh-key": file })[0]).toContain("expected a public key, found a private one");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("boot lines", () => {
  it.each<[Values, string[]]>([
    [
      { meter: "sdm120", lamp: "led,gpio=22,active_low=true" },
      ["gpio=22=op,dh", "dtoverlay=gpio-led,gpio=22,label=lamp,active_low=1"],
    ],
    [{ lamp: "gpio,line=GPIO5" }, ["gpio=5=op,dl"]],
    [{ lamp: "pwm,gpio=18" }, ["dtparam=audio=off", "dtoverlay=pwm-2chan"]],
    [{ lamp: "pwm,gpio=13" }, ["dtparam=audio=off", "dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4"]],
    [{ meter: "pulse,line=27,impulses_per_kilowatt_hour=1000" }, ["gpio=27=ip,pu"]],
    [{ meter: "ina226,shunt_microohms=2000,current_max_milliamps=20000" }, ["dtparam=i2c_arm=on"]],
    [{ meter: "cse7766" }, ["enable_uart=1", "dtoverlay=disable-bt", "[pi5]", "dtparam=uart0=on", "[all]"]],
  ])("for %o are what its parts need", (more, lines) => {
    expect(bootLines(more)).toEqual(expect.arrayContaining(lines));
  });

  it("free the header's UART of its console only when a part hangs on it", () => {
    const order = judged({ meter: "cse7766" });
    expect(order).toMatchObject({ order: { freeUart: true } });
    const words = { instanceId: "i-1", country: "DE", freeUart: true };
    expect(withKernelWords("console=serial0,115200 console=tty1 root=x\n", words)).toBe(
      "console=tty1 root=x cfg80211.ieee80211_regdom=DE ds=nocloud;i=i-1\n",
    );
  });

  it("are written once however often, and leave every other line alone", () => {
    const line = fc.stringMatching(/^[a-z0-9=,#[\] ]{0,30}$/);
    fc.assert(
      fc.property(fc.array(line), fc.array(line), fc.array(line), (image, first, second) => {
        const text = `${image.join("\n")}\n`;
        const once = withBootLines(text, first);
        expect(once.startsWith(text)).toBe(true);
        expect(withBootLines(once, first)).toBe(once);
        expect(withBootLines(once, second)).toBe(withBootLines(text, second));
      }),
    );
  });
});

describe("Wi-Fi", () => {
  it("is on the card as the network's derived key: IEEE 802.11i's own examples", () => {
    expect(wpaKey("IEEE", "password")).toBe(
      "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e",
    );
    expect(wpaKey("ThisIsASSID", "ThisIsAPassword")).toBe(
      "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
    );
  });

  it("any name survives the file's syntax", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 32 }), (ssid) => {
        const text = networkConfig({ ssid, derivedKey: "0".repeat(64), country: "DE" });
        const wifi = (
          parse(text, { version: "1.1" }) as { network: { wifis: { wlan0: { "access-points": object } } } }
        ).network.wifis;
        expect(Object.keys(wifi.wlan0["access-points"])).toEqual([ssid]);
      }),
    );
  });
});
