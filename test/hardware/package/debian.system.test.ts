import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { flashLights } from "#hardware/flash/flash-lights";
import { readOrder } from "#hardware/flash/order/order";
import { buildPackage } from "#hardware/package/debian";
import { freshCard, GATEWAY_KEY, SSH_KEY, tempFolder } from "../flash/installer.ts";
import { type DebianRoot, openDebianRoot } from "./debian-root.ts";

/** Exposure in systemd's own terms, 0 (safe) to 10. */
const EXPOSURE_MAX = 2.5;

let root: DebianRoot;
let folder: string;
let deb: string;
beforeAll(async () => {
  folder = tempFolder();
  root = await openDebianRoot();
  const { fileName, content } = await buildPackage("all", {});
  deb = `/${fileName}`;
  writeFileSync(join(root.path, fileName), content);
}, 600_000);
afterAll(() => {
  root?.remove();
  rmSync(folder, { recursive: true, force: true });
});

function succeeds(command: string): string {
  const { status, stdout, stderr } = root.run(command);
  expect(status, `${command}\n${stdout}\n${stderr}`).toBe(0);
  return stdout;
}

/** Every file and folder of the root but for what apt and dpkg keep for themselves. */
function inventory(): string[] {
  const own = "-path /proc -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log -o -path /run";
  return succeeds(`find / \\( ${own} \\) -prune -o -print`).trim().split("\n").sort();
}

it("Debian's tools read the package as it is meant", () => {
  const fields = succeeds(`dpkg-deb --field ${deb} Package Architecture Depends`);
  expect(fields).toContain(
    "Package: watt402-device\nArchitecture: all\nDepends: nodejs (>= 20), gpiod, libatomic1",
  );
  const listed = succeeds(`dpkg-deb --contents ${deb}`);
  expect(listed).toMatch(/^-rwxr-xr-x root\/root .* \.\/usr\/lib\/watt402\/watt402-device\.mjs$/m);
  expect(listed).toContain("./usr/bin/watt402-device -> ../lib/watt402/watt402-device.mjs");
  succeeds(`dpkg-deb --info ${deb} conffiles | grep -qx /etc/watt402/device.toml`);
});

it("installs, runs, upgrades with key, counters and settings kept, and purges without a trace", () => {
  const before = inventory();
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  succeeds(`dpkg --install ${deb}`);
  expect(succeeds("watt402-device --version").trim()).toBe(version);
  expect(succeeds("id watt402-device")).toMatch(/groups=.*dialout/);
  expect(succeeds("systemctl is-enabled watt402-device").trim()).toBe("enabled");
  expect(succeeds("man --pager=cat watt402-device")).toContain("meters what it burns and pays for it");
  succeeds("udevadm verify /usr/lib/udev/rules.d/60-watt402-device.rules");
  succeeds("systemd-analyze verify --man=no /usr/lib/systemd/system/watt402-device.service");
  // No gateway is named yet.
  expect(root.run("watt402-device --check").stderr).toContain("gateway.broker: expected");

  const reported = 's/^# (broker|public_key) = /\\1 = /; s#^broker = .*#broker = "mqtt://127.0.0.1:9"#';
  succeeds(`sed -Ei '${reported}' /etc/watt402/device.toml`);
  succeeds("install -d -o watt402-device -m 0700 /var/lib/watt402");
  const asService = "runuser -u watt402-device -- watt402-device";
  expect(succeeds(`${asService} --check`)).toContain("no fault found");
  const address = succeeds(`${asService} address`).trim();
  expect(address).toMatch(/0x[0-9a-f]{40}/);
  const doctor = root.run(`${asService} doctor --json`);
  expect(doctor.status).toBe(1);
  expect(JSON.stringify(JSON.parse(doctor.stdout))).toContain("127.0.0.1:9");

  // The same package again is an upgrade as dpkg knows it: prerm upgrade, unpack, postinst configure.
  succeeds(`dpkg --install ${deb}`);
  expect(succeeds(`${asService} address`).trim()).toBe(address);
  expect(succeeds("cat /etc/watt402/device.toml")).toContain('broker = "mqtt://127.0.0.1:9"');

  succeeds("dpkg --remove watt402-device");
  expect(existsSync(join(root.path, "var/lib/watt402/device.key"))).toBe(true);
  expect(existsSync(join(root.path, "etc/watt402/device.toml"))).toBe(true);
  succeeds("dpkg --purge watt402-device");
  expect(inventory()).toEqual(before);
  expect(root.run("getent passwd watt402-device").status).not.toBe(0);
});

it("serialport's binary loads in Debian's Node from where the package puts it", () => {
  succeeds(`dpkg --install ${deb}`);
  const binary = "/usr/lib/watt402/prebuilds/linux-x64/@serialport+bindings-cpp.glibc.node";
  const loads = `node -e 'process.stdout.write(Object.keys(require("${binary}")).join())'`;
  expect(succeeds(loads)).toContain("open");
  succeeds("dpkg --purge watt402-device");
});

it("the service is fenced in", () => {
  succeeds(`dpkg --install ${deb}`);
  const unit = "/usr/lib/systemd/system/watt402-device.service";
  const reported = succeeds(`systemd-analyze security --offline=true --no-pager ${unit}`);
  const [, exposure] = /Overall exposure level .*: ([\d.]+) /.exec(reported) ?? [];
  expect(Number(exposure)).toBeGreaterThan(0);
  expect(Number(exposure)).toBeLessThan(EXPOSURE_MAX);
  succeeds("dpkg --purge watt402-device");
});

it.each([
  ["a cable and no login", {}],
  [
    "Wi-Fi, a login and a private authority",
    { "wifi-ssid": 'Straße "7"', "wifi-password": "correct horse", "wifi-country": "DE", "ssh-key": SSH_KEY },
  ],
])("cloud-init accepts what a card with %s is given", (_, more) => {
  const card = freshCard(folder, `card-${Object.keys(more).length}`);
  const judged = readOrder({
    values: {
      ...{ hostname: "pole-7", gateway: "mqtt://gateway.test", "gateway-key": GATEWAY_KEY, meter: "sdm120" },
      ...{ lamp: "led", "rated-watts": "60", sun: "52.52,13.4", ...more },
    },
    set: {},
  });
  if (!("order" in judged)) throw new Error(JSON.stringify(judged.faults));
  const debian = { fileName: "watt402-device_1_all.deb", content: Buffer.from("x") };
  const options = { provisionKey: true, force: false, dryRun: false };
  flashLights([{ order: judged.order, out: card }], debian, options);
  const inside = join(root.path, "card");
  cpSync(card, inside, { recursive: true });
  expect(succeeds("cloud-init schema --config-file /card/user-data")).toContain(
    "Valid schema /card/user-data",
  );
  expect(
    succeeds("cloud-init schema --schema-type network-config --config-file /card/network-config"),
  ).toContain("Valid schema /card/network-config");
  // Its checker is awake: a key it does not know is refused.
  writeFileSync(join(inside, "user-data"), "#cloud-config\nrpi: {}\n");
  expect(root.run("cloud-init schema --config-file /card/user-data").status).not.toBe(0);
  rmSync(inside, { recursive: true });
});

it("the script of the first boot takes key and passphrase off the card, whole, however often it is cut off", () => {
  const card = freshCard(folder, "card-key");
  const judged = readOrder({
    values: {
      ...{ hostname: "pole-8", gateway: "mqtt://gateway.test", "gateway-key": GATEWAY_KEY, meter: "sdm120" },
      ...{ lamp: "led", "rated-watts": "60", sun: "52.52,13.4" },
    },
    set: {},
  });
  if (!("order" in judged)) throw new Error(JSON.stringify(judged.faults));
  const debian = { fileName: deb.slice(1), content: readFileSync(join(root.path, deb)) };
  const [light] = flashLights([{ order: judged.order, out: card }], debian, {
    ...{ provisionKey: true, force: false, dryRun: false },
  });
  mkdirSync(join(root.path, "boot/firmware"), { recursive: true });
  cpSync(card, join(root.path, "boot/firmware"), { recursive: true });
  // cloud-init itself writes the script to its place.
  const write =
    "import sys,yaml; print([f for f in yaml.safe_load(open('/boot/firmware/user-data'))['write_files'] if 'install' in f['path']][0]['content'])";
  succeeds(`python3 -c "${write}" >/install.sh`);
  // Cut off after every line but the last ones, which need a network, then run to the end without it.
  const lines = Number(succeeds("grep -n '^umask 022' /install.sh | cut -d: -f1"));
  for (let line = 6; line < lines; line++) root.run(`head -n ${line} /install.sh | sh`);
  succeeds(
    "sed -i -e '/^apt-get -o/d' -e 's/^apt-get install .* /dpkg --force-confold --install /' /install.sh",
  );
  succeeds("sh /install.sh");
  expect(existsSync(join(root.path, "boot/firmware/watt402/device.key"))).toBe(false);
  expect(existsSync(join(root.path, "boot/firmware/watt402/key-passphrase"))).toBe(false);
  expect(succeeds("cat /boot/firmware/watt402/address.txt")).toContain(light!.address!);
  expect(succeeds("stat -c '%U %a' /var/lib/watt402/device.key").trim()).toBe("watt402-device 600");
  const opened =
    "CREDENTIALS_DIRECTORY=/etc/credstore watt402-device key backup --out /b.json --passphrase-file /p";
  succeeds(`umask 077; echo another passphrase >/p; ${opened}`);
  expect(JSON.parse(readFileSync(join(root.path, "b.json"), "utf8"))).toMatchObject({
    address: light!.address,
  });
  succeeds("dpkg --purge watt402-device");
});
