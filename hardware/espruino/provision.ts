/**
 * The files a board is provisioned with, beside its bundle.
 *
 * Promise: made where BigInt and noble are, so that the board computes none of it: tag key, domain separator,
 * comb table, and rungs signed for its first night. The same order gives the same files.
 */
import { fromHex, type Hex, toHex } from "#payment/bytes";
import { batchSettlementSeparator } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import type { Key } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { voucherDigest } from "#payment/voucher";
import { combTable } from "./comb-table.ts";
import { type BoardFile, FILES, RUNG_BYTES, RUNGS_HEAD_BYTES } from "./parts.ts";

export interface BoardOrder {
  readonly key: Key;
  /** 32 bytes; the same key's. */
  readonly secret: Uint8Array;
  /** Compressed, 33 bytes. */
  readonly gatewayPublicKey: Uint8Array;
  readonly file: Omit<BoardFile, "v" | "device" | "publicKey">;
  /** The ladder of the first night, when its channel is known. */
  readonly firstNight: {
    readonly channelId: string;
    readonly base: number;
    readonly quantumAtomic: number;
    readonly rungs: number;
  } | null;
}

/** Contents by name in the board's file store. */
export function boardFiles(order: BoardOrder): ReadonlyMap<string, Uint8Array> {
  const { key, secret, gatewayPublicKey, file, firstNight } = order;
  const chainId = chainIdOf(file.settings.policy.network);
  const device = key.address.slice(2);
  const config: BoardFile = { v: 1, device, publicKey: toHex(key.publicKey), ...file };
  const secrets = [secret, tagKeyBetween(key, gatewayPublicKey), batchSettlementSeparator(chainId)];
  const files = new Map<string, Uint8Array>([
    [FILES.combTable, combTable()],
    [FILES.secrets, Buffer.concat(secrets)],
    [FILES.config, Buffer.from(asciiOf(JSON.stringify(config)))],
  ]);
  if (firstNight !== null) files.set(FILES.rungs, rungsOf(key, chainId, firstNight));
  return files;
}

function rungsOf(
  key: Key,
  chainId: number,
  { channelId, base, quantumAtomic, rungs }: NonNullable<BoardOrder["firstNight"]>,
): Uint8Array {
  const bytes = Buffer.alloc(RUNGS_HEAD_BYTES + rungs * RUNG_BYTES);
  bytes.set(fromHex(channelId as Hex));
  bytes.writeUIntBE(base, 32, 6);
  bytes.writeUIntBE(quantumAtomic, 38, 6);
  bytes.writeUInt16BE(rungs, 44);
  for (let rung = 1; rung <= rungs; rung++) {
    const digest = voucherDigest(channelId, base + rung * quantumAtomic, chainId);
    bytes.set(key.sign(digest), RUNGS_HEAD_BYTES + (rung - 1) * RUNG_BYTES);
  }
  return bytes;
}

/** The board's strings are bytes: what is beyond ASCII is escaped. */
function asciiOf(json: string): string {
  return json.replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
