/**
 * A Debian trixie of its own, as Raspberry Pi OS is made of, for tests of the package and of cloud-init.
 *
 * Promise: made once by debootstrap and kept in the system's temporary folder; each use is a copy of it,
 * which is gone when the use is over. No service of it ever starts.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the package depends on, and what judges the files of a card. */
const PACKAGES =
  "nodejs gpiod libatomic1 passwd udev systemd ca-certificates cloud-init python3-netplan man-db";

/** Named by what is in it: another list is another root. */
const CACHE = join(tmpdir(), "watt402-debian-trixie-2");

export interface DebianRoot {
  readonly path: string;
  /** Runs a shell command in it as root. */
  run(command: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  remove(): void;
}

/** Rejects when debootstrap cannot make one: it needs root and Debian's packages. */
export async function openDebianRoot(): Promise<DebianRoot> {
  if (!existsSync(CACHE)) makeCache();
  const path = await mkdtemp(join(tmpdir(), "debian-"));
  execFileSync("cp", ["-a", "--reflink=auto", `${CACHE}/.`, path]);
  mkdirSync(join(path, "proc"), { recursive: true });
  execFileSync("mount", ["-t", "proc", "proc", join(path, "proc")]);
  return {
    path,
    run: (command) => {
      const { status, stdout, stderr } = spawnSync("chroot", [path, "sh", "-c", command], {
        encoding: "utf8",
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
      });
      return { status, stdout, stderr };
    },
    remove: () => {
      execFileSync("umount", [join(path, "proc")]);
      rmSync(path, { recursive: true, force: true });
    },
  };
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
