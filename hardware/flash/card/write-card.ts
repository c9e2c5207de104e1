/**
 * Carries out a card's changes.
 *
 * Promise: all or nothing: every new file lies whole on the disk under another name before the first
 * replaces it; when one cannot, those before it are put back. A card that is pulled out half-way is
 * known as ours the next time.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import type { Change } from "./change.ts";
import { MANIFEST, type Manifest, manifestText, sha256 } from "./manifest.ts";

const DRAFT = ".watt402-new";

/** Throws one line when the card cannot be written; then it is as it was. */
export function writeChanges(root: string, changes: readonly Change[], before: Manifest | null): void {
  const written = changes.filter(({ action }) => action !== "keep");
  if (written.length === 0) return;
  const drafts = written.filter(({ content }) => content !== null);
  const created: string[] = [];
  try {
    for (const { path, content } of drafts) writeDraft(root, path, content!, created);
    writeDraft(root, MANIFEST, underWay(changes, before), created);
    renameSync(join(root, MANIFEST + DRAFT), join(root, MANIFEST));
    const record = drafts.find(({ path }) => path === MANIFEST);
    if (record !== undefined) writeDraft(root, MANIFEST, record.content!, created);
  } catch (error) {
    for (const { path } of drafts) rmSync(join(root, path + DRAFT), { force: true });
    for (const folder of created.reverse()) rmSync(folder, { recursive: true, force: true });
    throw explained(root, error);
  }
  const done: Change[] = [];
  try {
    for (const change of written) {
      put(root, change);
      done.push(change);
    }
  } catch (error) {
    for (const change of done.reverse()) putBack(root, change);
    putBack(root, recordBefore(before));
    for (const { path } of drafts) rmSync(join(root, path + DRAFT), { force: true });
    throw explained(root, error);
  }
  syncFolder(root);
}

function recordBefore(manifest: Manifest | null): Pick<Change, "path" | "before"> {
  return { path: MANIFEST, before: manifest === null ? null : Buffer.from(manifestText(manifest)) };
}

/** The manifest on the card while files change: every file may have its old bytes or its new ones. */
function underWay(changes: readonly Change[], before: Manifest | null): Buffer {
  const files: Record<string, string[]> = { ...before?.files };
  for (const { path, owner, content, before: found } of changes) {
    if (path === MANIFEST || owner !== "us") continue;
    const sums = [content, found].flatMap((bytes) => (bytes === null ? [] : [sha256(bytes)]));
    files[path] = [...new Set([...(files[path] ?? []), ...sums])];
  }
  return Buffer.from(
    manifestText({ instanceId: before?.instanceId ?? "", address: before?.address ?? null, files }),
  );
}

function writeDraft(root: string, path: string, content: Uint8Array, created: string[]): void {
  const draft = join(root, path + DRAFT);
  const folder = mkdirSync(dirname(draft), { recursive: true });
  if (folder !== undefined) created.push(folder);
  const file = openSync(draft, "w", 0o600);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function put(root: string, { path, action }: Change): void {
  if (action === "remove") rmSync(join(root, path), { force: true });
  else renameSync(join(root, path + DRAFT), join(root, path));
}

function putBack(root: string, { path, before }: Pick<Change, "path" | "before">): void {
  if (before === null) rmSync(join(root, path), { force: true });
  else writeFileSync(join(root, path), before);
}

function syncFolder(path: string): void {
  // Windows opens no folders, and keeps their order itself.
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function explained(root: string, error: unknown): Error {
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return new Error(message);
  const remedy =
    code === "ENOSPC" ? "make room" : code === "EROFS" ? "mount it writable" : "check its permissions";
  return new Watt402Error(
    "file-inaccessible",
    `${path ?? root}: expected to write it, found ${code}; ${remedy}; nothing was changed`,
  );
}
