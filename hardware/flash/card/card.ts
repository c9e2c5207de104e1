/**
 * Everything that one light's boot partition is to hold, worked out before a byte is written.
 *
 * Promise: the instance id follows from the content, so the same order on the same card is the same
 * files, and a changed one makes cloud-init set the board up again.
 */
import { createHash } from "node:crypto";
import type { ProvisionedKey } from "../order/device-key.ts";
import type { Order } from "../order/order.ts";
import { MAP_FILE } from "../order/own-map.ts";
import { addedWords, withBootLines, withKernelWords } from "./boot-text.ts";
import { BROKER_PASSWORD, installScript, metaData, networkConfig, userData } from "./cloud-init.ts";

/** Our folder on the boot partition. */
export const FOLDER = "watt402";

export interface PackageFile {
  readonly fileName: string;
  readonly content: Uint8Array;
}

export interface Card {
  readonly instanceId: string;
  /** Files that are ours, by path on the partition. */
  readonly own: ReadonlyMap<string, Uint8Array>;
  /** The image's files with what we add, by path. */
  readonly patched: ReadonlyMap<string, Uint8Array>;
}

/** What the partition's image brought; null for a directory that is no boot partition. */
export interface ImageTexts {
  readonly cmdline: string;
  readonly config: string;
}

/** Throws when the image's texts cannot be added to. */
export function cardOf(
  order: Order,
  debian: PackageFile,
  key: ProvisionedKey | null,
  image: ImageTexts | null,
): Card {
  const extras = [
    ["gateway-ca.pem", order.gatewayCa],
    [MAP_FILE, order.meterMap],
  ].filter((extra): extra is [string, string] => extra[1] !== null);
  const script = installScript(
    debian.fileName,
    extras.map(([name]) => name),
    order.brokerPassword !== null,
  );
  const files = new Map<string, string | Uint8Array>([
    ["user-data", userData(order.login, script)],
    ["network-config", networkConfig(order.wifi)],
    [`${FOLDER}/device.toml`, order.deviceToml],
    [`${FOLDER}/${debian.fileName}`, debian.content],
    ...extras.map(([name, content]) => [`${FOLDER}/${name}`, content] as const),
    ...(order.brokerPassword === null
      ? []
      : [[`${FOLDER}/${BROKER_PASSWORD}`, `${order.brokerPassword}\n`] as const]),
  ]);
  const instanceId = `watt402-${order.login.hostname}-${digest(files, order, key)}`;
  files.set("meta-data", metaData(instanceId));
  for (const [path, content] of key?.files ?? []) files.set(path, content);

  const words = { instanceId, country: order.wifi?.country ?? null, freeUart: order.freeUart };
  const patched = new Map<string, string>();
  if (image === null) {
    // To be joined to the image's own files by the program that builds one.
    files.set(`${FOLDER}/cmdline-additions.txt`, `${addedWords(words).join(" ")}\n`);
    files.set(`${FOLDER}/config-additions.txt`, withBootLines("", order.bootLines));
  } else {
    patched.set("config.txt", withBootLines(image.config, order.bootLines));
    patched.set("cmdline.txt", withKernelWords(image.cmdline, words));
  }
  return { instanceId, own: bytes(files), patched: bytes(patched) };
}

/** 12 hex digits that change with anything that the board is set up by; a key by its address, for it moves. */
function digest(
  files: ReadonlyMap<string, string | Uint8Array>,
  order: Order,
  key: ProvisionedKey | null,
): string {
  const hash = createHash("sha256");
  for (const [path, content] of files) hash.update(`${path}\0`).update(content).update("\0");
  hash.update(JSON.stringify([order.bootLines, order.freeUart, key?.address ?? null]));
  return hash.digest("hex").slice(0, 12);
}

function bytes(files: ReadonlyMap<string, string | Uint8Array>): Map<string, Uint8Array> {
  return new Map(
    [...files].map(([path, content]) => [path, typeof content === "string" ? Buffer.from(content) : content]),
  );
}
