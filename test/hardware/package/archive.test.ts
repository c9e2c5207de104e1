import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ar, type Entry, tarGz, withDirectories } from "#hardware/package/archive";

const EPOCH_SECONDS = 1_700_000_000;

function inFolder<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "archive-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

it("what it packs, tar unpacks byte for byte, whatever the contents", () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,12}$/);
  const tree = fc.dictionary(name, fc.uint8Array({ maxLength: 1600 }), { minKeys: 1, maxKeys: 5 });
  fc.assert(
    fc.property(tree, (files) => {
      const entries: Entry[] = Object.entries(files).map(([path, content]) => ({
        path: `deep/er/${path}`,
        content,
        mode: 0o640,
      }));
      inFolder((folder) => {
        writeFileSync(join(folder, "a.tgz"), tarGz(withDirectories(entries), EPOCH_SECONDS));
        for (const { path, content } of entries) {
          const read = execFileSync("tar", ["-xzOf", join(folder, "a.tgz"), `./${path}`]);
          expect(read.equals(content)).toBe(true);
        }
      });
    }),
    { numRuns: 20 },
  );
});

it("owner, mode, time, links and directories are what was said", () => {
  const entries = withDirectories([
    { path: "usr/bin/tool", content: Buffer.from("#!\n"), mode: 0o755 },
    { path: "usr/bin/link", content: Buffer.alloc(0), mode: 0o777, linkTo: "tool" },
  ]);
  inFolder((folder) => {
    writeFileSync(join(folder, "a.tgz"), tarGz(entries, EPOCH_SECONDS));
    const listed = execFileSync("tar", ["-tvzf", join(folder, "a.tgz"), "--utc"], { encoding: "utf8" });
    const rows = listed
      .trim()
      .split("\n")
      .map((row) => row.replace(/\s+/g, " "));
    expect(rows).toEqual([
      "drwxr-xr-x root/root 0 2023-11-14 22:13 ./",
      "drwxr-xr-x root/root 0 2023-11-14 22:13 ./usr/",
      "drwxr-xr-x root/root 0 2023-11-14 22:13 ./usr/bin/",
      "lrwxrwxrwx root/root 0 2023-11-14 22:13 ./usr/bin/link -> tool",
      "-rwxr-xr-x root/root 3 2023-11-14 22:13 ./usr/bin/tool",
    ]);
  });
});

it("a path that ustar cannot hold is refused", () => {
  const entry = { path: `${"d/".repeat(60)}f`, content: Buffer.alloc(0), mode: 0o644 };
  expect(() => tarGz([entry], EPOCH_SECONDS)).toThrow("expected a path of at most 100 bytes");
});

it("an odd member of an ar archive is padded, and its size is its own", () => {
  const archive = ar([{ name: "debian-binary", content: Buffer.from("2.0") }], EPOCH_SECONDS).toString();
  expect(archive).toBe("!<arch>\ndebian-binary   1700000000  0     0     100644  3         `\n2.0\n");
});
