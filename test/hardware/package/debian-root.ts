/**
 * A Debian trixie of its own, as Raspberry Pi OS is made of, for tests of the package and of cloud-init.
 *
 * Promise: made once by debootstrap and kept in the system's temporary folder; each use is a copy of it,
 * which is gone when the use is over. No service of it starts, unless it is booted.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the package depends on, and what checks the files of a card. */
const PACKAGES =
  "nodejs gpiod libatomic1 passwd udev systemd ca-certificates cloud-init python3-netplan man-db";

/** Named by what is in it: another list is another root. */
const CACHE = join(tmpdir(), "watt402-debian-trixie-2");

export interface DebianRoot {
  readonly path: string;
  /** Runs a shell command in it as root. */
  run(command: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  /**
   * Boots it with its own systemd, without network, runs a script there as root and shuts it down.
   * Returns what the script wrote. Throws when it has not ended within BOOTED_MS.
   */
  boot(script: string): string;
  remove(): void;
}

/** Longest life of a booted root, milliseconds. */
const BOOTED_MS = 150_000;

/** Rejects when debootstrap cannot make one: it needs root and Debian's packages. */
export async function openDebianRoot(): Promise<DebianRoot> {
  if (!existsSync(CACHE)) makeCache();
  const path = await mkdtemp(join(tmpdir(), "debian-"));
  execFileSync("cp", ["-a", "--reflink=auto", `${CACHE}/.`, path]);
  mkdirSync(join(path, "proc"), { recursive: true });
  const proc = join(path, "proc");
  execFileSync("mount", ["-t", "proc", "proc", proc]);
  return {
    path,
    run: (command) => {
      const { status, stdout, stderr } = spawnSync("chroot", [path, "sh", "-c", command], {
        encoding: "utf8",
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
      });
      return { status, stdout, stderr };
    },
    boot: (script) => {
      // It mounts its own; over another's it would wait for ever.
      execFileSync("umount", [proc]);
      return bootAndRun(path, script);
    },
    remove: () => {
      spawnSync("umount", [proc]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function bootAndRun(path: string, script: string): string {
  rmSync(join(path, "usr/sbin/policy-rc.d"));
  writeFileSync(join(path, "opt/run.sh"), `exec >/opt/told 2>&1\n${script}\nsystemctl poweroff\n`);
  const unit = "[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/bin/sh /opt/run.sh\n";
  writeFileSync(join(path, "etc/systemd/system/run.service"), unit);
  const wants = join(path, "etc/systemd/system/multi-user.target.wants");
  mkdirSync(wants, { recursive: true });
  symlinkSync("../run.service", join(wants, "run.service"));
  const options = [
    "--quiet",
    "--boot",
    "--register=no",
    "--keep-unit",
    "--private-network",
    "--console=pipe",
  ];
  const { error, stderr } = spawnSync("systemd-nspawn", [...options, "--directory", path], {
    encoding: "utf8",
    timeout: BOOTED_MS,
    killSignal: "SIGKILL",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (error !== undefined) throw new Error(`systemd-nspawn: ${error.message}\n${stderr}`);
  return readFileSync(join(path, "opt/told"), "utf8");
}

function makeCache(): void {
  const draft = `${CACHE}.${process.pid}`;
  try {
    execFileSync("debootstrap", ["--variant=minbase", "trixie", draft], { stdio: "pipe" });
    // Debian's own way to keep packages from starting services (policy-rc.d).
    writeFileSync(join(draft, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    execFileSync("cp", ["/etc/resolv.conf", join(draft, "etc/resolv.conf")]);
    const install = `apt-get update -q && apt-get install -q -y --no-install-recommends ${PACKAGES} && apt-get clean`;
    execFileSync("chroot", [draft, "sh", "-c", install], {
      stdio: "pipe",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    });
    renameSync(draft, CACHE);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
}
