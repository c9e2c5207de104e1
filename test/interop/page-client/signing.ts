// What a device computes by x402-over-mqtt.md: its key, the tag key, tags, logins, EIP-712 digests. By the libraries'
// primitives alone.

import { secp256k1 } from "@noble/curves/secp256k1.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";

export type Bytes = Uint8Array;

const ascii = (text: string): Bytes => Buffer.from(text, "latin1");
const join = (...parts: readonly Bytes[]): Bytes => Uint8Array.from(Buffer.concat(parts));
export const hexOf = (bytes: Bytes): string => `0x${Buffer.from(bytes).toString("hex")}`;
export const bytesOf = (hex: string): Bytes => Uint8Array.from(Buffer.from(hex.slice(2), "hex"));

const word = (value: string | number | bigint): Bytes => {
  const digits = typeof value === "string" ? value.slice(2) : BigInt(value).toString(16);
  return Uint8Array.from(Buffer.from(digits.padStart(64, "0"), "hex"));
};

export const addressOf = (publicKey: Bytes): string => {
  const point = secp256k1.Point.fromHex(Buffer.from(publicKey).toString("hex")).toBytes(false);
  return hexOf(keccak_256(point.slice(1)).slice(12));
};

export interface Identity {
  readonly publicKey: string;
  /** 0x and 40 digits. */
  readonly address: string;
  /** Without 0x. */
  readonly name: string;
  sign(digest: Bytes): Bytes;
  /** x of the ECDH point. */
  sharedX(other: string): Bytes;
}

export function identityOf(secret: Bytes): Identity {
  const publicKey = secp256k1.getPublicKey(secret, true);
  const address = addressOf(publicKey);
  return {
    publicKey: hexOf(publicKey),
    address,
    name: address.slice(2),
    sign(digest) {
      const made = secp256k1.sign(digest, secret, { prehash: false, lowS: true, format: "recovered" });
      return join(made.slice(1), Uint8Array.of(27 + made[0]!));
    },
    sharedX: (other) => secp256k1.getSharedSecret(secret, bytesOf(other), true).slice(1, 33),
  };
}

// ---- sealing ----

export const tagKeyOf = (sharedX: Bytes): Bytes =>
  hkdf(sha256, sharedX, undefined, ascii("watt402 message tag 1"), 32);

export const tagOf = (key: Bytes, leaf: string, payload: Bytes): Bytes =>
  hmac(sha256, key, join(ascii(leaf), Uint8Array.of(0), payload)).slice(0, 16);

export const sealFrame = (key: Bytes, leaf: string, frame: Bytes): Bytes =>
  join(frame, tagOf(key, leaf, frame));

export function sealObject(key: Bytes, leaf: string, message: object): string {
  const text = JSON.stringify(message).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const head = text.slice(0, -1);
  return `${head},"tag":"${hexOf(tagOf(key, leaf, ascii(head))).slice(2)}"}`;
}

/** Null when the tag is wrong. */
export function openObject(key: Bytes, leaf: string, sealed: Buffer): Record<string, unknown> | null {
  const head = sealed.subarray(0, -42);
  const tail = `,"tag":"${hexOf(tagOf(key, leaf, head)).slice(2)}"}`;
  if (sealed.toString("latin1", head.length) !== tail) return null;
  return JSON.parse(`${head.toString("latin1")}}`) as Record<string, unknown>;
}

// ---- login ----

export function signedLogin(device: Identity, gatewayAddress: string, seconds: number): string {
  const text = `watt402 login\ndevice ${device.address}\ngateway ${gatewayAddress}\ntime ${seconds}`;
  const digest = keccak_256(ascii(`\x19Ethereum Signed Message:\n${text.length}${text}`));
  return `${seconds}.${hexOf(device.sign(digest))}`;
}

export function sealedLogin(device: Identity, key: Bytes, seconds: number): string {
  const tag = tagOf(key, "login", ascii(`${device.name} ${seconds}`));
  return `${seconds}.${device.publicKey}.${hexOf(tag)}`;
}

// ---- EIP-712 ----

const hashOf = (text: string): Bytes => keccak_256(ascii(text));
const DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const CHANNEL =
  "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)";
const VOUCHER = "Voucher(bytes32 channelId,uint128 maxClaimableAmount)";
const AUTHORIZATION =
  "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
const BATCH_SETTLEMENT = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003";

export interface Domain {
  readonly name: string;
  readonly version: string;
  readonly chainId: number;
  readonly contract: string;
}

export const separatorOf = ({ name, version, chainId, contract }: Domain): Bytes =>
  keccak_256(join(hashOf(DOMAIN), hashOf(name), hashOf(version), word(chainId), word(contract)));

export const batchDomain = (chainId: number): Domain => ({
  name: "x402 Batch Settlement",
  version: "1",
  chainId,
  contract: BATCH_SETTLEMENT,
});

const digestOf = (domain: Domain, type: string, members: readonly Bytes[]): Bytes =>
  keccak_256(
    join(Uint8Array.of(0x19, 0x01), separatorOf(domain), keccak_256(join(hashOf(type), ...members))),
  );

export interface ChannelConfig {
  readonly payer: string;
  readonly payerAuthorizer: string;
  readonly receiver: string;
  readonly receiverAuthorizer: string;
  readonly token: string;
  readonly withdrawDelay: number;
  readonly salt: string;
}

export const channelIdOf = (config: ChannelConfig, chainId: number): string =>
  hexOf(
    digestOf(batchDomain(chainId), CHANNEL, [
      word(config.payer),
      word(config.payerAuthorizer),
      word(config.receiver),
      word(config.receiverAuthorizer),
      word(config.token),
      word(config.withdrawDelay),
      word(config.salt),
    ]),
  );

export const voucherDigest = (channelId: string, rung: number, chainId: number): Bytes =>
  digestOf(batchDomain(chainId), VOUCHER, [word(channelId), word(rung)]);

export interface Authorization {
  readonly from: string;
  readonly to: string;
  readonly value: number;
  readonly validBefore: number;
  readonly nonce: string;
}

export const authorizationDigest = (domain: Domain, authorization: Authorization): Bytes =>
  digestOf(domain, AUTHORIZATION, [
    word(authorization.from),
    word(authorization.to),
    word(authorization.value),
    word(0),
    word(authorization.validBefore),
    word(authorization.nonce),
  ]);

export const accountOf = (
  device: string,
  payTo: string,
  chainId: number,
  asset: string,
  epoch: number,
): string =>
  hexOf(
    keccak_256(
      join(
        ascii("watt402 exact account"),
        word(device),
        word(payTo),
        word(chainId),
        word(asset),
        word(epoch),
      ),
    ),
  );

export const nonceOf = (account: string, charged: number): string =>
  hexOf(keccak_256(join(ascii("watt402 exact nonce"), word(account), word(charged))));
