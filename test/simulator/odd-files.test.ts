// Files of people that are deep, wide or odd: whichever reader gets one says in a few lines what is wrong and where.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readConfig as readGateway } from "#gateway/config/config";
import { fromEnvironment, loadConfig as loadLayers } from "#gateway/config/layers";
import { readAllowList } from "#gateway/enrolment/allow-list";
import { readLocations } from "#gateway/telemetry/locations";
import { readLights } from "#hardware/flash/order/csv-lights";
import { deviceToml } from "#hardware/flash/order/device-toml";
import { openRegisterMap } from "#hardware/meters/modbus/map-table";
import { loadConfig as readDevice } from "#node/config/device-config";
import { readText } from "#node/config/text-file";
import { openCity } from "#simulator/city/open-city";
import { openScenario } from "#simulator/scenario/open-scenario";
import { SERIES_BYTES_MAX, tariffFromCsv, tariffFromToml } from "#simulator/seller/sale/tariff-text";

const DEEP = 10_000;
const WIDE = 10 * 1024 * 1024;
/** Of inventories, which may be as long. */
const LONG = 2 * 1024 * 1024;
/** Most of an error, characters and lines. */
const ERROR_MAX = 8_000;
const LINES_MAX = 60;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "watt402-odd-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Files = Readonly<Record<string, string | Buffer>>;
type Readers = Readonly<Record<string, (file: string) => unknown>>;

const nested = (opens: string, closes: string, depth: number) => opens.repeat(depth) + closes.repeat(depth);
const bytes = (before: string, odd: readonly number[], after: string) =>
  Buffer.concat([Buffer.from(before), Buffer.from(odd), Buffer.from(after)]);
const SURROGATE = [0xed, 0xa0, 0x80];

/** Every one of them is wrong for every reader of its kind. */
const TOML: Files = {
  "arrays in arrays": `title = ${nested("[", "]", DEEP)}`,
  "arrays that never close": `title = ${"[".repeat(DEEP)}`,
  "tables in tables": `title = ${"{a=".repeat(DEEP)}1${"}".repeat(DEEP)}`,
  "a dotted key": `title${".a".repeat(DEEP)} = 1\nstory = "x"`,
  "a dotted key inline": `title = {a${".a".repeat(DEEP)} = 1}`,
  "a header": `[title${".a".repeat(DEEP)}]\nb = 1`,
  "many keys": Array.from({ length: 20_000 }, (_, i) => `k${i} = 1`).join("\n"),
  "many tables": Array.from({ length: 8_000 }, (_, i) => `[[stage]]\nname='${i}'`).join("\n"),
  "10 MB of text": `title = "${"x".repeat(WIDE)}"\nstory = "x"`,
  "a long text": `title = "${"x".repeat(500_000)}"\nstory = "x"`,
  "a long list": `title = [${"0,".repeat(400_000)}0]\nstory = "x"`,
  "a long key": `${"x".repeat(900_000)} = 1`,
  "a long line": "x".repeat(900_000),
  "a long number": `title = ${"1_".repeat(100_000)}1`,
  "10 MB of blanks": `title = [${" \n".repeat(WIDE / 2)}`,
  "a header __proto__": "[__proto__]\nkey = 'x'\n",
  "a header below __proto__": "[gateway.__proto__]\nodd = 1\n",
  "a constructor": "[constructor.prototype]\nodd = 1\n",
  "a NUL byte": "title = 'x'\nstory = 'x\0y'\n",
  "zeros alone": Buffer.alloc(WIDE),
  "UTF-16": Buffer.from("\uFEFFtitle = 'x'\n", "utf16le"),
  "half a surrogate pair": bytes("title = 'x'\nstory = '", SURROGATE, "'\n"),
  "half a surrogate pair, escaped": 'title = "\\ud800"\n',
  "Latin-1": bytes("title = '", [0xe4], "'\n"),
  "carriage returns alone": "title = 'x'\rstory = 'y'\r",
  nothing: "",
};

const TOML_READERS: Readers = {
  "device.toml": readDevice,
  "gateway.toml": readGateway,
  "gateway.toml below the environment": (file) =>
    loadLayers({ file, environment: { WATT402_GATEWAY_NAME: "x" }, settings: [] }),
  "a scenario": openScenario,
  "a tariff's windows": (file) => tariffFromToml(readText(file)),
};

const CSV: Files = {
  "a header of many columns": `${"a,".repeat(LONG / 2)}a\n1,2`,
  "a header of commas": ",".repeat(LONG),
  "a header without end": "x".repeat(LONG),
  "a quote that never closes": `name,latitude,longitude\n"${"x\n".repeat(LONG / 2)}`,
  "quotes alone": `name,latitude,longitude\n${'"'.repeat(LONG)}`,
  "a cell of 2 MB": `name,latitude,longitude\nx,${"9".repeat(LONG)},1`,
  "a long cell": `name,latitude,longitude\nx,${"9".repeat(9_000)},1`,
  "a NUL byte": "name,latitude,longitude\nx\0y,48,16",
  "zeros alone": Buffer.alloc(LONG),
  "half a surrogate pair": bytes("name,latitude,longitude\n", SURROGATE, ",48,16\n"),
  "UTF-16": Buffer.from("\uFEFFname,latitude,longitude\nx,1,2\n", "utf16le"),
  "a column __proto__": "name,__proto__,__proto__.odd\nx,48,16",
  "a price without end": `start,price\n2026-01-01T00:00:00Z,${"1".repeat(1_000_000)}`,
  "a comma": ",",
};

const CSV_READERS: Readers = {
  "an inventory": (file) => openCity({ city: file, seed: 1, lights: 5, mapping: {} }),
  "lights to flash": (file) => readLights(file, { values: {}, set: {} }),
  "a tariff's series": (file) => tariffFromCsv(readText(file, file, SERIES_BYTES_MAX)),
  "places of lights": (file) => readLocations(readText(file), file),
  "an allow-list": readAllowList,
};

const JSON_FILES: Files = {
  "arrays in arrays": nested("[", "]", DEEP),
  "objects in objects": `${'{"name":'.repeat(DEEP)}1${"}".repeat(DEEP)}`,
  "a list of 1 MB": `[${"0,".repeat(400_000)}0]`,
  "many members": `{${Array.from({ length: 60_000 }, (_, i) => `"k${i}":1`).join()}}`,
  "a long text": `{"name":"${"x".repeat(900_000)}"}`,
  "a long name": `{"${"x".repeat(900_000)}":1}`,
  "many nulls": `{"type":"FeatureCollection","features":[${"null,".repeat(1_000_000)}null]}`,
  __proto__: '{"__proto__":{"name":"x"}}',
  "a NUL, escaped": '{"name":"\\u0000"}',
  "a NUL byte": '{"name":"\0"}',
  "zeros alone": Buffer.alloc(WIDE),
  "half a surrogate pair": bytes('{"name":"', SURROGATE, '"}'),
  "half a surrogate pair, escaped": '{"name":"\\ud800"}',
  "UTF-16": Buffer.from("\uFEFF{}", "utf16le"),
  nothing: "",
};

const JSON_READERS: Readers = {
  "a register map": openRegisterMap,
  "an inventory in GeoJSON": (file) => openCity({ city: file, seed: 1, lights: 5, mapping: {} }),
};

/** Each file to each reader: what they threw. */
function complaints(files: Files, readers: Readers, extension: string): [string, Error, number][] {
  return Object.entries(files).flatMap(([odd, content]) => {
    const file = join(folder, `odd.${extension}`);
    writeFileSync(file, content);
    return Object.entries(readers).map(([reader, read]): [string, Error, number] => {
      const before = performance.now();
      try {
        read(file);
      } catch (error) {
        return [`${reader}: ${odd}`, error as Error, performance.now() - before];
      }
      throw new Error(`${reader}: expected a complaint about ${odd}, found none`);
    });
  });
}

test.each([
  ["toml", TOML, TOML_READERS],
  ["csv", CSV, CSV_READERS],
  ["json", JSON_FILES, JSON_READERS],
] as const)(
  "an odd .%s is reported in a few lines, by every reader, and never by a crash",
  (kind, files, readers) => {
    const bad = complaints(files, readers, kind).flatMap(([what, error, tookMs]) => {
      const { message } = error;
      const isShort = message.length <= ERROR_MAX && message.split("\n").length <= LINES_MAX;
      const isPlain = !(
        error instanceof RangeError ||
        error instanceof TypeError ||
        error instanceof SyntaxError
      );
      const isClear = /expected|found/i.test(message);
      // A hang is meant, which takes tens of seconds; a slow machine takes one.
      const isSoon = tookMs < 8_000;
      return isShort && isPlain && isClear && isSoon
        ? []
        : [`${what}: ${Math.round(tookMs)} ms ${message.slice(0, 200)}`];
    });
    expect(bad).toEqual([]);
    expect(({} as { odd?: number }).odd).toBeUndefined();
  },
);

test("what is as deep as allowed is read, and one deeper is reported with its place", () => {
  const file = join(folder, "depth.toml");
  const about = (toml: string) => {
    writeFileSync(file, toml);
    return () => openScenario(file);
  };
  expect(about(`title = ${nested("[", "]", 31)}`)).toThrow("title: expected a text of 1 to 80 characters");
  const tooDeep = "expected TOML nested at most 32 deep, found deeper";
  expect(about(`\ntitle = ${nested("[", "]", 33)}`)).toThrow(`depth.toml: line 2, column 41: ${tooDeep}`);
  expect(about(`title${".a".repeat(32)} = 1`)).toThrow(
    new RegExp(`^depth\\.toml: title\\.a\\.a.*: ${tooDeep}$`),
  );
});

test("a NUL, another encoding and too long a file are reported with the line", () => {
  const file = join(folder, "text.toml");
  const about = (content: string | Buffer) => {
    writeFileSync(file, content);
    return () => readText(file, "x", 100);
  };
  expect(about("a = 1\nb = '\0'\n")).toThrow("x: line 2: expected text, found a NUL byte");
  expect(about(bytes("a\nb\n", [0xe4], "\nc"))).toThrow("x: line 3: expected UTF-8 text, found other bytes");
  expect(about(Buffer.from("\uFEFFa = 1", "utf16le"))).toThrow("x: expected UTF-8 text, found UTF-16");
  expect(about("x".repeat(101))).toThrow("x: expected at most 100 bytes, found more");
  expect(() => readText("/dev/zero", "x", 100)).toThrow("x: expected at most 100 bytes, found more");
  expect(() => readText(folder, "x")).toThrow("x: expected a readable file, found EISDIR");
  expect(about("\uFEFFa\r\nb")()).toBe("a\r\nb");
});

test("no setting reaches the prototype of every object", () => {
  const set = { "gateway.tls.__proto__.odd": "1" };
  const values = { gateway: "mqtts://a:8883", "gateway-key": "0x", "rated-watts": "60", steps: "16:30=100" };
  const made = deviceToml({ values, set } as never, {}, {}, { authority: true, brokerPassword: false });
  expect(made).toMatchObject({ faults: [{ field: "set" }] });
  const settings = ["__proto__.odd=1"];
  expect(() => loadLayers({ file: null, environment: {}, settings })).toThrow('"__proto__"');
  expect(() => loadLayers({ file: null, environment: {}, settings: ["gateway.__proto__=1"] })).toThrow(
    '"__proto__"',
  );
  expect(() =>
    loadLayers({ file: null, environment: {}, settings: [`seller.url=${"[".repeat(DEEP)}`] }),
  ).toThrow("url");
  expect(fromEnvironment({ WATT402___PROTO____ODD: "1" })).toEqual({});
  expect(({} as { odd?: number }).odd).toBeUndefined();
});
