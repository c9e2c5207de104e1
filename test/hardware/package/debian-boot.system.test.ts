import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildPackage } from "#hardware/package/debian";
import { type DebianRoot, openDebianRoot } from "./debian-root.ts";

let root: DebianRoot;
beforeAll(async () => {
  root = await openDebianRoot();
  const { content } = await buildPackage("all", {});
  writeFileSync(join(root.path, "opt/watt402-device.deb"), content);
}, 600_000);
afterAll(() => root?.remove());

/** What an installer and a night do to a service, each step under its own heading. */
const SCRIPT = `
install -d /etc/credstore
(umask 077; echo a passphrase >/etc/credstore/watt402.key-passphrase)
dpkg --install /opt/watt402-device.deb
sed -Ei 's/^# (broker|public_key) = /\\1 = /; s#^broker = .*#broker = "mqtt://127.0.0.1:9"#' /etc/watt402/device.toml
systemctl reset-failed watt402-device
systemctl restart watt402-device
echo "== started"
systemctl show watt402-device --property=ActiveState,StatusText,NRestarts,WatchdogUSec
stat --format='%U %a' /var/lib/watt402/device.key
cat /var/lib/watt402/device.key
echo "== asked"
watt402-device status
echo "== killed"
kill -KILL $(systemctl show --value --property=MainPID watt402-device)
for second in 1 2 3 4 5 6 7 8 9 10; do
  sleep 1
  [ "$(systemctl show --value --property=ActiveState,NRestarts watt402-device | tr -d '\\n')" = 1active ] && break
done
systemctl show watt402-device --property=ActiveState,NRestarts
journalctl --no-pager --output=cat --unit=watt402-device
echo "== upgraded"
dpkg --install /opt/watt402-device.deb
systemctl show watt402-device --property=ActiveState
CREDENTIALS_DIRECTORY=/etc/credstore watt402-device address
echo "== stopped"
systemctl stop watt402-device
systemctl show watt402-device --property=ActiveState,Result
echo "== purged"
dpkg --purge watt402-device
systemctl list-unit-files --no-pager | grep watt402
ls -d /var/lib/watt402 /etc/watt402
`;

it("under Debian's own systemd it starts behind its fences, is watched, survives a kill and an upgrade, and stops", () => {
  const reported = root.boot(SCRIPT);
  const under = (heading: string) =>
    reported.split(/^== /m).find((part) => part.startsWith(`${heading}\n`)) ?? reported;

  expect(under("started")).toContain("ActiveState=active");
  expect(under("started")).toContain("StatusText=lamp ");
  expect(under("started")).toContain("NRestarts=0");
  expect(under("started")).toContain("WatchdogUSec=3min");
  // The passphrase came in as a credential: the key is encrypted under it.
  expect(under("started")).toContain("watt402-device 600");
  const [, address] = /"address": "(0x[0-9a-f]{40})"/.exec(under("started")) ?? [];
  expect(under("started")).toContain('"name": "aes-256-gcm"');

  expect(under("asked")).toContain(`light     ${address}`);
  expect(under("asked")).toContain("gateway   mqtt://127.0.0.1:9: NOT CONNECTED");

  expect(under("killed")).toContain("ActiveState=active");
  expect(under("killed")).toContain("NRestarts=1");
  // ExecStopPost's word, between the killed light's and the next one's.
  expect(under("killed")).toMatch(
    /code=killed, status=9\/KILL[\s\S]*^simulated lamp: 0 %$[\s\S]*Started watt402-device/m,
  );

  expect(under("upgraded")).toContain("ActiveState=active");
  expect(under("upgraded")).toContain(address);
  expect(under("stopped")).toContain("ActiveState=inactive");
  expect(under("stopped")).toContain("Result=success");
  expect(under("purged")).not.toMatch(/watt402-device\.service\s+(enabled|disabled)/);
  expect(under("purged")).toContain("cannot access '/var/lib/watt402'");
}, 300_000);
