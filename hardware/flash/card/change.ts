/**
 * What writing a card would do to a directory, found out without touching it.
 *
 * Promise: a file that neither we nor the image's makers wrote is never among what is replaced, unless
 * the installer said so, and then a copy of it is kept.
 */

import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { Watt402Error } from "#payment/watt402-error";
import type { Card } from "./card.ts";
import { isOurs, MANIFEST, type Manifest, manifestText, sha256 } from "./manifest.ts";

export interface Change {
  readonly path: string;
  readonly action: "create" | "replace" | "remove" | "back-up" | "keep";
  /** Whose file it is: the image's own are only added to, and never removed. */
  readonly owner: "us" | "image";
  /** New bytes; null for "remove" and "keep". */
  readonly content: Uint8Array | null;
  /** Bytes that are there now; null when there are none. */
  readonly before: Uint8Array | null;
}

/** Backups of one file; more mean that somebody should look. */
const BACKUPS_MAX = 9;

/**
 * The changes in the order in which they are to be written: what starts the board's set-up comes last.
 * @throws one line for each file that is somebody else's, unless `force`
 */
export function changesFor(
  root: string,
  card: Card,
  manifest: Manifest | null,
  address: string | null,
  force: boolean,
): Change[] {
  const foreign: string[] = [];
  const own = [...card.own].flatMap(([path, content]) => {
    const before = bytesAt(root, path);
    const change = changeOf(path, content, before);
    if (change.action !== "replace" || isOurs(manifest, path, before!) || isTemplate(path, before!))
      return [change];
    foreign.push(path);
    return [
      {
        path: backupName(root, path),
        action: "back-up" as const,
        owner: "image" as const,
        content: before,
        before: null,
      },
      change,
    ];
  });
  if (foreign.length > 0 && !force) {
    throw new Watt402Error(
      "file-invalid",
      foreign
        .map(
          (path) =>
            `${join(root, path)}: expected a file of the image or of ours, found another's; --force keeps a copy and replaces it`,
        )
        .join("\n"),
    );
  }
  const patched = [...card.patched].map(([path, content]) =>
    changeOf(path, content, bytesAt(root, path), "image"),
  );
  const stale = Object.keys(manifest?.files ?? {}).flatMap((path): Change[] => {
    const before = card.own.has(path) || path === MANIFEST ? null : bytesAt(root, path);
    // What a person changed since is his.
    return before === null || !isOurs(manifest, path, before)
      ? []
      : [{ path, action: "remove", owner: "us", content: null, before }];
  });
  const files = Object.fromEntries([...card.own].map(([path, content]) => [path, [sha256(content)]]));
  const record = Buffer.from(manifestText({ instanceId: card.instanceId, address, files }));
  return [...own, ...stale, ...patched, changeOf(MANIFEST, record, bytesAt(root, MANIFEST))];
}

function changeOf(
  path: string,
  content: Uint8Array,
  before: Uint8Array | null,
  owner: Change["owner"] = "us",
): Change {
  if (before === null) return { path, action: "create", owner, content, before };
  if (Buffer.compare(content, before) === 0) return { path, action: "keep", owner, content: null, before };
  return { path, action: "replace", owner, content, before };
}

function bytesAt(root: string, path: string): Uint8Array | null {
  const file = join(root, path);
  if (!existsSync(file)) return null;
  if (!statSync(file).isFile())
    throw new Watt402Error("limit-reached", `${file}: expected a file, found a folder; remove it`);
  return readFileSync(file);
}

function backupName(root: string, path: string): string {
  const names = Array.from({ length: BACKUPS_MAX }, (_, index) => `${path}.before-watt402-${index + 1}`);
  const free = names.find((name) => !existsSync(join(root, name)));
  if (free !== undefined) return free;
  throw new Watt402Error(
    "unexpected-answer",
    `${join(root, path)}: expected at most ${BACKUPS_MAX} copies of it, found more; clear them up`,
  );
}

/** Keys that the image's own cloud-init files set, and that mean nothing to an installer. */
const TEMPLATE_KEYS = ["dsmode", "instance_id", "instance-id", "ssh_pwauth", "network"];

/** A file of cloud-init as the image brings it: comments, and settings that any card has. */
function isTemplate(path: string, content: Uint8Array): boolean {
  if (!["user-data", "meta-data", "network-config"].includes(path)) return false;
  try {
    const value = parse(Buffer.from(content).toString("utf8")) as Record<string, unknown> | null;
    if (value === null) return true;
    const isPlain = Object.entries(value).every(
      ([key, member]) => TEMPLATE_KEYS.includes(key) && typeof member !== "object",
    );
    return (
      isPlain && ["rpios-image", undefined].includes((value.instance_id ?? value["instance-id"]) as string)
    );
  } catch {
    return false;
  }
}
