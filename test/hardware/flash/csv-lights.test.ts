import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { filesUnder, flash, flashed, freshCard, lightOptions, tempFolder } from "./installer.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = tempFolder();
  file = join(folder, "lights.csv");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const shared = () => [
  "pi",
  "--out",
  join(folder, "out"),
  "--csv",
  file,
  ...lightOptions(folder, { hostname: "" }),
];

it("every line becomes a folder of its own; what a line leaves out is as on the command line", async () => {
  writeFileSync(
    file,
    "\uFEFFhostname,meter,rated-watts,policy.daily_budget_atomic\r\npole-1,sdm230,40,200000\r\npole-2,,,\r\n",
  );
  const lights = await flashed(...shared());
  expect(lights.map(({ hostname }) => hostname)).toEqual(["pole-1", "pole-2"]);
  const config = (name: string) => readFileSync(join(folder, "out", name, "watt402/device.toml"), "utf8");
  expect(config("pole-1")).toMatch(/map = "sdm230"[\s\S]*rated_milliwatts = 40000/);
  expect(config("pole-1")).toContain("daily_budget_atomic = 200000");
  expect(config("pole-2")).toMatch(/map = "sdm120"[\s\S]*rated_milliwatts = 60000/);
  expect(new Set(lights.map(({ instanceId }) => instanceId)).size).toBe(2);
});

it("keys made for many lights are many keys", async () => {
  writeFileSync(file, "hostname\npole-1\npole-2\npole-3\n");
  const lights = await flashed(...shared(), "--provision-key");
  expect(new Set(lights.map(({ address }) => address)).size).toBe(3);
});

it("all faults are reported by line and column, and nothing is written", async () => {
  writeFileSync(
    file,
    'hostname;meter;rated-watts\npole-1;sdm120;60\n"two\nlines";sdm120;60\npole-3;sdm999;a lot\npole-1;pulse;60\n',
  );
  const { status, errors } = await flash(...shared());
  expect(status).toBe(1);
  expect(errors.map((line) => line.replace(`watt402-flash: ${file}: `, ""))).toEqual([
    expect.stringMatching(/^line 4, column 1 \(hostname\): expected 1\.\.63 of a-z/),
    expect.stringMatching(/lines"$/),
    expect.stringMatching(/^line 5, column 2 \(meter\): expected one of .*found "sdm999"$/),
    expect.stringMatching(/^line 6, column 2 \(meter\): meter\.driver\.line: expected .*found nothing$/),
    expect.stringMatching(/^line 6, column 2 \(meter\): meter\.driver\.impulses_per_kilowatt_hour: /),
  ]);
  expect(existsSync(join(folder, "out"))).toBe(false);
});

it("two lights of one name, a column twice or unknown, a cell too many: each is named", async () => {
  const reported = async (text: string) => {
    writeFileSync(file, text);
    return (await flash(...shared())).errors.join("\n");
  };
  expect(await reported("hostname\npole-1\npole-1\n")).toContain(
    "line 3, column 1 (hostname): expected a name of its own, found that of line 2",
  );
  expect(await reported("hostname,hostname\na,b\n")).toContain(
    'line 1, column 2: expected each column once, found "hostname"',
  );
  expect(await reported("hostname,colour\na,b\n")).toContain(
    "line 1, column 2: expected one of hostname, gateway",
  );
  expect(await reported("hostname,meter\na,sdm120,c\n")).toContain("line 2: expected 2 columns, found 3");
  expect(await reported("hostname\n")).toContain("expected a line of column names and one for each light");
});

it("one card that cannot be written keeps all from being written", async () => {
  writeFileSync(file, "hostname\npole-1\npole-2\n");
  await flashed(...shared());
  writeFileSync(join(folder, "out/pole-2/user-data"), "mine");
  const before = filesUnder(join(folder, "out"));
  const { errors } = await flash(...shared(), "--rated-watts", "30");
  expect(errors).toEqual([
    expect.stringContaining("pole-2/user-data: expected a file of the image or of ours"),
  ]);
  expect(filesUnder(join(folder, "out"))).toEqual(before);
});

it("one light of the list goes straight onto its card", async () => {
  writeFileSync(file, 'hostname,lamp\npole-1,led\npole-2,"led,gpio=22"\n');
  const card = freshCard(folder);
  const [light, ...others] = await flashed(
    ...["pi", "--out", card, "--csv", file, "--light", "pole-2"],
    ...lightOptions(folder, { hostname: "", lamp: "" }),
  );
  expect(others).toEqual([]);
  expect(light).toMatchObject({ hostname: "pole-2", out: card, isCard: true });
  expect(readFileSync(join(card, "config.txt"), "utf8")).toContain("gpio=22=op,dl");
  expect(readdirSync(folder)).not.toContain("out");
  const { errors } = await flash(...shared(), "--light", "pole-9", "--lamp", "led");
  expect(errors.join()).toContain('none named "pole-9"');
});
