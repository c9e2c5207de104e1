/**
 * What watt402-flash wrote on a card, so that the next run knows its own files from others'.
 *
 * Promise: a file is ours only while its bytes are those that were written.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";

/** Path of the manifest on the partition. */
export const MANIFEST = "watt402/manifest.json";

const SHAPE = z.strictObject({
  instanceId: z.string(),
  /** The light's address, when its key was made here; null when the board makes it. */
  address: z.string().nullable(),
  /** By path: SHA-256 of what was written; several while a write is under way. */
  files: z.record(z.string(), z.array(z.string())),
});
export type Manifest = z.output<typeof SHAPE>;

/** Null when there is none. Throws on one that is damaged. */
export function readManifest(root: string): Manifest | null {
  let text: string;
  try {
    text = readFileSync(join(root, MANIFEST), "utf8");
  } catch {
    return null;
  }
  try {
    return SHAPE.parse(parseJson(text));
  } catch {
    throw new Watt402Error(
      "file-invalid",
      `${join(root, MANIFEST)}: expected a list of our files, found something else; remove it`,
    );
  }
}

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

export function isOurs(manifest: Manifest | null, path: string, content: Uint8Array): boolean {
  return manifest?.files[path]?.includes(sha256(content)) ?? false;
}

export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
