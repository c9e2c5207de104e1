import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { writeChanges } from "#hardware/flash/card/write-card";
import { openMeter } from "#hardware/meters/open-meter";
import { readConfig } from "#node/config/device-config";
import { unsealSecret } from "#node/key/sealed-key";
import { openKey } from "#payment/key";
import { context } from "../meters/harness.ts";
import {
  filesUnder,
  flash,
  flashed,
  freshCard,
  lightOptions,
  ownMap,
  SSH_KEY,
  STOCK_CONFIG,
  tempFolder,
} from "./installer.ts";

let folder: string;
beforeEach(() => {
  folder = tempFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (...parts: string[]) => readFileSync(join(...parts), "utf8");

describe("a card", () => {
  it("gets all that a first boot reads, and keeps what is the image's", async () => {
    const card = freshCard(folder);
    const [light] = await flashed("pi", "--out", card, ...lightOptions(folder, { "ssh-key": SSH_KEY }));
    expect(read(card, "user-data").startsWith("#cloud-config\n")).toBe(true);
    expect(parse(read(card, "user-data"))).toMatchObject({
      hostname: "pole-7",
      users: [{ name: "installer", lock_passwd: true, ssh_authorized_keys: [SSH_KEY] }],
    });
    expect(parse(read(card, "meta-data"))).toEqual({ "instance-id": light!.instanceId });
    expect(read(card, "cmdline.txt")).toBe(
      "console=serial0,115200 console=tty1 root=PARTUUID=4f1c-02 rootfstype=ext4 rootwait " +
        `ds=nocloud;i=${light!.instanceId}\n`,
    );
    expect(read(card, "config.txt").startsWith(STOCK_CONFIG)).toBe(true);
    expect(read(card, "config.txt")).toContain("\ngpio=17=op,dl\ndtoverlay=gpio-led,gpio=17,label=lamp\n");
    const config = readConfig(read(card, "watt402/device.toml"), "device.toml");
    expect(config).toMatchObject({
      gateway: { brokerUrl: "mqtts://gateway.test:8883" },
      settings: { ratedMilliwatts: 60_000, meter: { powerMaxMilliwatts: 100_000 } },
      plan: { sun: { latitude: 52.52, longitude: 13.405 } },
      meterDriver: { kind: "modbus", map: "sdm120", slave: 2, serial: "/dev/ttyUSB0" },
      lampDriver: { kind: "led" },
    });
    expect(light).toMatchObject({ address: null, isCard: true });
    expect(light!.next.join("\n")).toContain("ssh installer@pole-7.local");
  });

  it("takes along a register map of the installer's own, and the device reads it where the board puts it", async () => {
    const card = freshCard(folder);
    const map = ownMap(folder, (json) => ({ ...json, name: "my-meter", slave: 3 }));
    const light = lightOptions(folder, { map, meter: "my-meter,baud=2400" });
    await flashed("pi", "--out", card, ...light);
    expect(read(card, "watt402/meter-map.json")).toBe(read(map));
    const config = readConfig(read(card, "watt402/device.toml"), "device.toml");
    expect(config.meterDriver).toEqual({
      kind: "modbus",
      map: "/etc/watt402/meter-map.json",
      slave: 3,
      baud: 2400,
      serial: "/dev/ttyUSB0",
    });
    const { write_files } = parse(read(card, "user-data")) as { write_files: { content: string }[] };
    expect(write_files[0]!.content).toContain(
      'install -D -m 0644 "$card/meter-map.json" /etc/watt402/meter-map.json\n',
    );
    const reader = openMeter({ ...config.meterDriver, map: join(card, "watt402/meter-map.json") }, context());
    expect([reader.name, reader.location]).toEqual(["my-meter", "slave 3 on /dev/ttyUSB0"]);
    await reader.close();
    // A better map is a new card to the board; without one it goes.
    ownMap(folder, (json) => ({ ...json, name: "my-meter", slave: 4 }));
    const [again] = await flashed("pi", "--out", card, ...light);
    expect(again!.changes).toContainEqual({ path: "watt402/meter-map.json", action: "replace" });
    const [without] = await flashed("pi", "--out", card, ...lightOptions(folder));
    expect(without!.changes).toContainEqual({ path: "watt402/meter-map.json", action: "remove" });
  });

  it("written twice is changed by nothing", async () => {
    const card = freshCard(folder);
    const args = ["pi", "--out", card, "--provision-key", ...lightOptions(folder)];
    const [first] = await flashed(...args);
    const before = filesUnder(card);
    const [second] = await flashed(...args);
    expect(second!.changes.filter(({ action }) => action !== "keep")).toEqual([]);
    expect(second).toMatchObject({ instanceId: first!.instanceId, address: first!.address });
    expect(filesUnder(card)).toEqual(before);
  });

  it("whose options changed is changed where it must, and set up anew", async () => {
    const card = freshCard(folder);
    const [first] = await flashed("pi", "--out", card, ...lightOptions(folder));
    const [second] = await flashed("pi", "--out", card, ...lightOptions(folder, { "rated-watts": "40" }));
    const changed = second!.changes.filter(({ action }) => action !== "keep").map(({ path }) => path);
    expect(changed.sort()).toEqual([
      "cmdline.txt",
      "meta-data",
      "watt402/device.toml",
      "watt402/manifest.json",
    ]);
    expect(second!.instanceId).not.toBe(first!.instanceId);
  });

  it("a dry run prints the same changes and writes none of them", async () => {
    const card = freshCard(folder);
    const before = filesUnder(card);
    const [dry] = await flashed("pi", "--out", card, "--dry-run", ...lightOptions(folder));
    expect(filesUnder(card)).toEqual(before);
    const [real] = await flashed("pi", "--out", card, ...lightOptions(folder));
    expect(dry).toEqual(real);
  });

  it("keeps what a person wrote on it: refused by name, or with --force copied first", async () => {
    const card = freshCard(folder);
    const mine = "#cloud-config\nhostname: mine\n";
    writeFileSync(join(card, "user-data"), mine);
    const before = filesUnder(card);
    const { status, errors } = await flash("pi", "--out", card, ...lightOptions(folder));
    expect(status).toBe(1);
    expect(errors).toEqual([
      `watt402-flash: ${card}/user-data: expected a file of the image or of ours, found another's; ` +
        "--force keeps a copy and replaces it",
    ]);
    expect(filesUnder(card)).toEqual(before);
    await flashed("pi", "--out", card, "--force", ...lightOptions(folder));
    expect(read(card, "user-data.before-watt402-1")).toBe(mine);
    expect(read(card, "user-data")).toContain("hostname: pole-7");
  });

  it("a file of ours that a person changed since is his", async () => {
    const card = freshCard(folder);
    await flashed("pi", "--out", card, ...lightOptions(folder));
    writeFileSync(join(card, "watt402/device.toml"), "# mine\n");
    const { errors } = await flash("pi", "--out", card, ...lightOptions(folder));
    expect(errors.join("\n")).toContain("watt402/device.toml: expected a file of the image or of ours");
  });

  it("takes along the light's password at its broker, and the board puts it where no other account reads it", async () => {
    const card = freshCard(folder);
    const file = join(folder, "password");
    writeFileSync(file, "lamp-light\n");
    await flashed("pi", "--out", card, ...lightOptions(folder, { "broker-password-file": file }));
    const passwordFile = "/var/lib/watt402/broker.password";
    const { login } = readConfig(read(card, "watt402/device.toml"), "device.toml").gateway;
    expect(login).toEqual({ username: null, passwordFile });
    expect(read(card, "watt402/broker-password")).toBe("lamp-light\n");
    expect(read(card, "user-data")).toContain(`install -D -m 0600 "$card/broker-password" ${passwordFile}`);
    await flashed("pi", "--out", card, ...lightOptions(folder));
    expect(existsSync(join(card, "watt402/broker-password"))).toBe(false);
    writeFileSync(file, "two words\n");
    const spaced = lightOptions(folder, { "broker-password-file": file });
    expect((await flash("pi", "--out", card, ...spaced)).errors.join("\n")).toContain(
      "--broker-password: expected 1..255 plain characters without spaces, found 9",
    );
  });

  it("a file that is not needed any more goes, and only if it is ours", async () => {
    const card = freshCard(folder);
    const ca = join(folder, "ca.pem");
    writeFileSync(ca, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    await flashed("pi", "--out", card, ...lightOptions(folder, { "gateway-ca": ca }));
    expect(read(card, "watt402/device.toml")).toContain('ca_file = "/etc/watt402/gateway-ca.pem"');
    await flashed("pi", "--out", card, ...lightOptions(folder));
    expect(existsSync(join(card, "watt402/gateway-ca.pem"))).toBe(false);
    expect(existsSync(join(card, "cmdline.txt"))).toBe(true);
  });

  it("that cannot be written is as it was before", async () => {
    const card = freshCard(folder);
    const before = filesUnder(card);
    const change = (path: string, content: string) => ({
      path,
      action: "create" as const,
      owner: "us" as const,
      content: Buffer.from(content),
      before: null,
    });
    mkdirSync(join(card, "taken"));
    // A folder stands where the second file would go: the first is put back.
    expect(() => writeChanges(card, [change("one", "1"), change("taken", "2")], null)).toThrow(
      /expected to write it, found (EISDIR|ENOTEMPTY|EEXIST); .*nothing was changed/,
    );
    expect(filesUnder(card)).toEqual(before);
  });

  it("with half of our block, or of an image, is refused", async () => {
    const card = freshCard(folder);
    writeFileSync(join(card, "config.txt"), "# watt402 end\n");
    expect((await flash("pi", "--out", card, ...lightOptions(folder))).errors.join()).toContain(
      "found one without the other",
    );
    rmSync(join(card, "config.txt"));
    expect((await flash("pi", "--out", card, ...lightOptions(folder))).errors.join()).toContain("found only");
    writeFileSync(join(card, "config.txt"), "");
    writeFileSync(join(card, "cmdline.txt"), "root=a\nroot=b\n");
    expect((await flash("pi", "--out", card, ...lightOptions(folder))).errors.join()).toContain(
      "expected one line, found 2",
    );
  });
});

describe("a folder that is no card", () => {
  it("gets the same files, and what to add to an image's", async () => {
    const out = join(folder, "out");
    const [light] = await flashed("pi", "--out", out, ...lightOptions(folder));
    expect(light).toMatchObject({ isCard: false });
    expect(read(out, "watt402/cmdline-additions.txt")).toBe(`ds=nocloud;i=${light!.instanceId}\n`);
    expect(read(out, "watt402/config-additions.txt")).toContain("dtoverlay=gpio-led,gpio=17,label=lamp\n");
    expect(existsSync(join(out, "cmdline.txt"))).toBe(false);
  });
});

describe("a key made here", () => {
  it("is encrypted, opens to the address that was printed, and is made once", async () => {
    const card = freshCard(folder);
    const args = ["pi", "--out", card, "--provision-key", ...lightOptions(folder)];
    const [light] = await flashed(...args);
    const passphrase = read(card, "watt402/key-passphrase").trim();
    const secret = unsealSecret(read(card, "watt402/device.key"), passphrase);
    expect(openKey(secret).address).toBe(light!.address);
    expect(light!.next.join("\n")).toContain(`devices approve ${light!.address}`);
    // The board took both: another key would be another light.
    rmSync(join(card, "watt402/device.key"));
    rmSync(join(card, "watt402/key-passphrase"));
    const [again] = await flashed(...args);
    expect(again).toMatchObject({ address: light!.address, instanceId: light!.instanceId });
    expect(existsSync(join(card, "watt402/device.key"))).toBe(false);
  });

  it("stays on the card when it is written again without asking for one", async () => {
    const card = freshCard(folder);
    const [light] = await flashed("pi", "--out", card, "--provision-key", ...lightOptions(folder));
    const key = read(card, "watt402/device.key");
    const [again] = await flashed("pi", "--out", card, ...lightOptions(folder, { "rated-watts": "30" }));
    expect(again!.address).toBe(light!.address);
    expect(read(card, "watt402/device.key")).toBe(key);
  });

  it("without its passphrase is reported, not replaced", async () => {
    const card = freshCard(folder);
    await flashed("pi", "--out", card, "--provision-key", ...lightOptions(folder));
    chmodSync(join(card, "watt402/key-passphrase"), 0o600);
    rmSync(join(card, "watt402/key-passphrase"));
    expect((await flash("pi", "--out", card, ...lightOptions(folder))).errors.join()).toContain(
      "expected watt402/device.key and watt402/key-passphrase, found only watt402/device.key",
    );
  });
});
