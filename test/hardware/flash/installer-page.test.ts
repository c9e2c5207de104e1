/** The installer's page: the options it shows must be options of the command. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { FIELD_NAMES, type FieldName } from "#hardware/flash/order/fields";
import { readOrder } from "#hardware/flash/order/order";
import { meterNames } from "#hardware/flash/order/part-choice";
import { GATEWAY_KEY } from "./installer.ts";

const PAGE = fileURLToPath(new URL("../../../hardware/README.md", import.meta.url));
const page = readFileSync(PAGE, "utf8");

function optionsIn(line: string): Partial<Record<FieldName, string>> {
  const found = [...line.matchAll(/--([a-z-]+) ("[^"]*"|[^\s"]+)/g)];
  return Object.fromEntries(found.map(([, name, value]) => [name, value!.replaceAll('"', "")]));
}

it("every build's options make a light", () => {
  const builds = page.split("\n").filter((line) => line.startsWith("--meter "));
  expect(builds).toHaveLength(3);
  for (const line of builds) {
    const values = {
      hostname: "a",
      gateway: "mqtt://b",
      "gateway-key": GATEWAY_KEY,
      sun: "1,2",
      ...optionsIn(line),
    };
    expect(readOrder({ values, set: {} }), line).toHaveProperty("order");
  }
});

it("every meter and lamp named in passing is one", () => {
  const parts = [...page.matchAll(/(?:--(meter|lamp) |`)((?:[a-z]+[a-z0-9-]*),[a-z_]+=[\w,=.]+)/g)];
  expect(parts.length).toBeGreaterThan(5);
  for (const [, option, text] of parts) {
    const isMeter =
      option === "meter" || (option === undefined && meterNames().includes(text!.split(",")[0]!));
    const good = { meter: "simulated", lamp: "simulated", hostname: "a", gateway: "mqtt://b", sun: "1,2" };
    const values = {
      ...good,
      "gateway-key": GATEWAY_KEY,
      "rated-watts": "5",
      [isMeter ? "meter" : "lamp"]: text!,
    };
    expect(readOrder({ values, set: {} }), text).toHaveProperty("order");
  }
});

it("every option it shows is there", () => {
  const own = ["out", "csv", "light", "set", "package", "force", "json", "dry-run", "provision-key"];
  const others = [
    "wifi-password-file",
    "broker-password-file",
    "help",
    "architecture",
    "passphrase-file",
    "action",
    "long",
  ];
  const known = new Set<string>([...FIELD_NAMES, ...own, ...others]);
  const shown = [...page.matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map(([, name]) => name!);
  expect(shown.filter((name) => !known.has(name))).toEqual([]);
});

it("every drawing and file it points to is there, and is a drawing for light and for dark", () => {
  const links = [...page.matchAll(/\]\(([^)#]+)\)/g)].map(([, link]) => link!);
  const drawings = links.filter((link) => link.endsWith(".svg"));
  expect(drawings).toHaveLength(3);
  for (const link of links.filter((one) => !drawings.includes(one))) {
    expect(() => readFileSync(join(dirname(PAGE), link)), link).not.toThrow(/ENOENT/);
  }
  for (const drawing of drawings) {
    const text = readFileSync(join(dirname(PAGE), drawing), "utf8");
    expect(text).toContain("prefers-color-scheme: dark");
    expect(text).toMatch(/<title id="title">.+<\/title>/);
  }
});
