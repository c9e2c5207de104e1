/**
 * From checked orders to cards: looks at every one before it writes the first.
 *
 * Promise: what cannot be written as a whole is not begun; the same orders again change nothing.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import { cardOf, type ImageTexts, type PackageFile } from "./card/card.ts";
import { type Change, changesFor } from "./card/change.ts";
import { type Manifest, readManifest } from "./card/manifest.ts";
import { writeChanges } from "./card/write-card.ts";
import { keyOnCard, makeKey } from "./order/device-key.ts";
import type { Order } from "./order/order.ts";

export interface Light {
  readonly order: Order;
  /** The card's boot partition, or a folder. */
  readonly out: string;
}

interface FlashOptions {
  /** Make the light's key here when its card has none yet. */
  readonly provisionKey: boolean;
  /** Replace files of others, keeping a copy. */
  readonly force: boolean;
  /** Only say what would be done. */
  readonly dryRun: boolean;
}

export interface Flashed {
  readonly hostname: string;
  readonly user: string;
  readonly out: string;
  readonly instanceId: string;
  /** Null while the light's key is not made: by the board, or by the write that a dry run leaves out. */
  readonly address: string | null;
  /** False for a folder that is no boot partition. */
  readonly isCard: boolean;
  readonly changes: readonly { readonly path: string; readonly action: Change["action"] }[];
}

interface Plan {
  readonly flashed: Flashed;
  readonly changes: readonly Change[];
  readonly manifest: Manifest | null;
}

/** Throws one line for each card that cannot be written; then none was. */
export function flashLights(
  lights: readonly Light[],
  debian: PackageFile,
  options: FlashOptions,
): readonly Flashed[] {
  const faults: string[] = [];
  const looks = lights.flatMap((light) => {
    try {
      return [planFor(light, debian, { ...options, provisionKey: false }).flashed];
    } catch (error) {
      faults.push((error as Error).message);
      return [];
    }
  });
  if (faults.length > 0) throw new Watt402Error("config-invalid", faults.join("\n"));
  if (options.dryRun) return looks;
  return lights.map((light) => {
    const { flashed, changes, manifest } = planFor(light, debian, options);
    writeChanges(light.out, changes, manifest);
    return flashed;
  });
}

function planFor({ order, out }: Light, debian: PackageFile, options: FlashOptions): Plan {
  const manifest = readManifest(out);
  const image = imageTexts(out);
  const key = keyOnCard(out, manifest) ?? (options.provisionKey ? makeKey() : null);
  const card = cardOf(order, debian, key, image);
  const changes = changesFor(out, card, manifest, key?.address ?? null, options.force);
  const flashed = {
    hostname: order.login.hostname,
    user: order.login.user,
    out,
    instanceId: card.instanceId,
    address: key?.address ?? null,
    isCard: image !== null,
    changes: changes.map(({ path, action }) => ({ path, action })),
  };
  return { flashed, changes, manifest };
}

/** Null for a folder without an image's files. Throws when there is one of them only. */
function imageTexts(out: string): ImageTexts | null {
  const [cmdline, config] = [join(out, "cmdline.txt"), join(out, "config.txt")];
  const found = [cmdline, config].filter(existsSync);
  if (found.length === 0) return null;
  if (found.length === 1) {
    throw new Watt402Error(
      "config-invalid",
      `${out}: expected cmdline.txt and config.txt of a boot partition, found only ${found[0]}`,
    );
  }
  return { cmdline: readFileSync(cmdline, "utf8"), config: readFileSync(config, "utf8") };
}
