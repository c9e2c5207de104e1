/**
 * Writes device/protocol/vectors.json: `npx tsx test/device/protocol/make-vectors.ts`. Run only when the
 * wire changes; every other implementation is held against this file.
 */
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Grant } from "#core/events";
import { channelTagOf } from "#core/rungs";
import {
  type Authorization,
  depositNonce,
  exactAccountOf,
  purchaseNonce,
  receiveDigest,
  transferDigest,
} from "#payment/authorization";
import { fromHex, toHex } from "#payment/bytes";
import { batchSettlementSeparator, channelIdOf } from "#payment/channel";
import { type Key, openKey } from "#payment/key";
import { loginToken } from "#payment/login";
import { approveDigest, signedApprove, tokenPermitDigest } from "#payment/permit2/approval";
import { type Permit, permitDigest, spenderOf } from "#payment/permit2/permit";
import { tagKeyBetween } from "#payment/tag-key";
import { voucherDigest } from "#payment/voucher";
import { encodeApproval } from "#protocol/approval-frame";
import { encodeGrant, encodePay, type Pay } from "#protocol/frames";
import { sealedLogin } from "#protocol/sealed-login";
import { sealFrame, sealJson, type Tagger } from "#protocol/tag";
import { LEAVES, type Leaf, topicOf } from "#protocol/topics";

const CHAIN_ID = 31337;
const DEVICE_SECRET = `0x${"11".repeat(32)}`;
const GATEWAY_SECRET = `0x${"22".repeat(32)}`;
const SELLER = `0x${"b0".repeat(20)}`;
/** Verifies transfers in the token's place. */
const WALLET = `0x${"77".repeat(20)}`;
const TREASURY = `0x${"a0".repeat(20)}`;
const TOKEN = { chainId: CHAIN_ID, address: `0x${"c0".repeat(20)}`, name: "USD Coin", version: "2" };
const ZERO = `0x${"00".repeat(20)}`;

/** What is said in JSON, once in each form. */
function messagesOf(publicKey: string, channel: object, channelId: string): [Leaf, object][] {
  return [
    [
      "hello",
      {
        v: 1,
        publicKey,
        model: "Stra\u00dfenlaterne \u2764",
        firmware: "0.1.0",
        meter: "sdm120",
        unit: "mWh",
        wantedUnits: 500,
        register: 1_482_000,
      },
    ],
    [
      "offer",
      {
        v: 1,
        revision: 7,
        resource: "http://seller.example/v1/energy?quantum=100",
        requirements: {
          scheme: "batch-settlement",
          network: `eip155:${CHAIN_ID}`,
          amount: "100",
          asset: TOKEN.address,
          payTo: SELLER,
          maxTimeoutSeconds: 60,
          extra: { name: TOKEN.name, version: TOKEN.version, receiverAuthorizer: SELLER, withdrawDelay: 900 },
        },
        channel,
        unit: "mWh",
        pricePerMillionUnits: 200_000,
        validUntilSeconds: 1_800_000_000,
        balance: 1_000_000,
        charged: 296_500,
        granted: 1_482_350,
      },
    ],
    [
      "state",
      {
        v: 1,
        status: "online",
        register: 1_482_000,
        credit: -350,
        powerMilliwatts: 60_000,
        levelPercent: 100,
        wantedPercent: 100,
        starved: false,
        refusal: null,
        channelId,
        charged: 296_500,
        maxClaimable: 296_600,
        granted: 1_482_350,
        epoch: 0,
      },
    ],
    ["reading", { v: 1, register: 1_482_000, powerMilliwatts: 60_000, atSeconds: 1_800_000_000 }],
    [
      "reading",
      {
        v: 1,
        register: 1_482_000,
        powerMilliwatts: 60_000,
        atSeconds: 1_800_000_000,
        voltageMillivolts: 229_800,
        currentMilliamps: 262,
        frequencyMillihertz: 50_010,
        quality: "good",
      },
    ],
  ];
}

/** A voucher, and an authorization that is presented again. */
function paysOf(
  channelId: string,
  account: string,
  voucherSignature: Uint8Array,
  transferSignature: Uint8Array,
): Pay[] {
  return [
    {
      again: false,
      channelTag: channelTagOf(channelId),
      maxClaimable: 296_600,
      register: 1_482_000,
      validBeforeSeconds: 0,
      signature: voucherSignature,
    },
    {
      again: true,
      channelTag: channelTagOf(account),
      maxClaimable: 5_100,
      register: 281_474_976_710_655,
      validBeforeSeconds: 1_800_000_000,
      signature: transferSignature,
    },
  ];
}

/** A sale, and a refusal with each number at its end. */
function grantsOf(channelId: string): Grant[] {
  return [
    {
      refusal: null,
      channelTag: channelTagOf(channelId),
      charged: 296_600,
      granted: 1_482_850,
      pricePerMillionUnits: 200_000,
      validUntilSeconds: 1_800_000_000,
    },
    {
      refusal: "counter-mismatch",
      channelTag: 0xffffffff,
      charged: 281_474_976_710_655,
      granted: 0,
      pricePerMillionUnits: 4_294_967_295,
      validUntilSeconds: 0,
    },
  ];
}

/** The same purchase where another contract verifies in the token's place. */
function verifiedVectors(device: Key, authorization: Omit<Authorization, "nonce">) {
  const verifier = { ...TOKEN, address: WALLET, name: "GatewayWalletBatched", version: "1" };
  const account = exactAccountOf(device.address, SELLER, { ...TOKEN, verifier: WALLET }, 0);
  const nonce = purchaseNonce(account, 5_000);
  const digest = transferDigest(verifier, { ...authorization, nonce });
  return {
    verifier,
    account,
    chargedAtomic: 5_000,
    nonce,
    digest: toHex(digest),
    signature: toHex(device.sign(digest)),
  };
}

/** What is signed under Permit2, and what approves it. */
function permit2Vectors(device: Key, channelId: string) {
  const account = exactAccountOf(device.address, SELLER, TOKEN, 0, "permit2");
  const purchase = {
    chainId: CHAIN_ID,
    token: TOKEN.address,
    amountAtomic: 100,
    nonce: purchaseNonce(account, 5_000),
    deadlineSeconds: 1_800_000_000,
  };
  const signed = (permit: Permit) => {
    const digest = permitDigest(permit);
    return {
      permit,
      spender: spenderOf(permit.witness),
      digest: toHex(digest),
      signature: toHex(device.sign(digest)),
    };
  };
  const tokenPermit = { owner: device.address, amountAtomic: 100, nonce: 3, deadlineSeconds: 1_800_000_000 };
  const tokenDigest = tokenPermitDigest(TOKEN, tokenPermit);
  const transaction = {
    chainId: CHAIN_ID,
    token: TOKEN.address,
    amountAtomic: 1_000_000,
    nonce: 9,
    maxFeePerGas: 2_000_000_000,
    maxPriorityFeePerGas: 1_000_000_000,
  };
  const approve = approveDigest(transaction);
  const deposit = { ...purchase, nonce: depositNonce(channelId, 7) };
  return {
    payTo: SELLER,
    account,
    exact: signed({ ...purchase, witness: { kind: "exact", to: SELLER } }),
    upto: signed({ ...purchase, witness: { kind: "upto", to: SELLER, facilitator: TREASURY } }),
    deposit: signed({ ...deposit, witness: { kind: "deposit", channelId } }),
    eip2612: { permit: tokenPermit, digest: toHex(tokenDigest), signature: toHex(device.sign(tokenDigest)) },
    erc20: {
      transaction,
      digest: toHex(approve),
      signature: toHex(device.sign(approve)),
      signed: signedApprove(transaction, device.sign(approve)),
    },
  };
}

/** A permit with the approval that it needs. */
function approvedPay(
  account: string,
  signature: string,
  { transaction, signature: approved }: ReturnType<typeof permit2Vectors>["erc20"],
): Pay {
  const { amountAtomic, nonce, maxFeePerGas, maxPriorityFeePerGas } = transaction;
  const approval = encodeApproval({
    kind: "erc20",
    approvedAtomic: amountAtomic,
    nonce,
    maxFeePerGas,
    maxPriorityFeePerGas,
    signature: fromHex(approved),
  });
  return {
    again: false,
    channelTag: channelTagOf(account),
    maxClaimable: 5_100,
    register: 1_482_000,
    validBeforeSeconds: 1_800_000_000,
    signature: Uint8Array.from([...fromHex(signature), ...approval]),
  };
}

export function makeVectors() {
  const device = openKey(fromHex(DEVICE_SECRET));
  const gateway = openKey(fromHex(GATEWAY_SECRET));
  const tagKey = tagKeyBetween(device, gateway.publicKey);
  const tagger: Tagger = {
    key: tagKey,
    hmac: (key, message) => Uint8Array.from(createHmac("sha256", key).update(message).digest()),
  };
  const name = device.address.slice(2);

  const config = {
    payer: TREASURY,
    payerAuthorizer: device.address,
    receiver: SELLER,
    receiverAuthorizer: SELLER,
    token: TOKEN.address,
    withdrawDelay: 900,
    salt: `0x${"00".repeat(31)}07`,
  };
  const channelId = channelIdOf(config, CHAIN_ID);
  const voucher = voucherDigest(channelId, 296_600, CHAIN_ID);

  const account = exactAccountOf(device.address, SELLER, TOKEN, 0);
  const authorization = {
    from: device.address,
    to: SELLER,
    value: 100,
    validBeforeSeconds: 1_800_000_000,
    nonce: purchaseNonce(account, 5_000),
  };
  const transfer = transferDigest(TOKEN, authorization);
  const permit2 = permit2Vectors(device, channelId);
  return {
    chainId: CHAIN_ID,
    device: { secret: DEVICE_SECRET, address: device.address, publicKey: toHex(device.publicKey) },
    gateway: { secret: GATEWAY_SECRET, address: gateway.address, publicKey: toHex(gateway.publicKey) },
    sharedX: toHex(device.shareWith(gateway.publicKey)),
    tagKey: toHex(tagKey),
    topics: (Object.keys(LEAVES) as Leaf[]).map((leaf) => ({ leaf, topic: topicOf(name, leaf) })),
    pay: [
      ...paysOf(channelId, account, device.sign(voucher), device.sign(transfer)),
      approvedPay(permit2.account, permit2.upto.signature, permit2.erc20),
    ].map((pay) => ({
      ...pay,
      signature: toHex(pay.signature),
      frame: toHex(encodePay(pay)),
      sealed: toHex(sealFrame(tagger, "pay", encodePay(pay))),
    })),
    grant: grantsOf(channelId).map((grant) => ({
      ...grant,
      frame: toHex(encodeGrant(grant)),
      sealed: toHex(sealFrame(tagger, "grant", encodeGrant(grant))),
    })),
    json: messagesOf(toHex(device.publicKey), config, channelId).map(([leaf, message]) => ({
      leaf,
      message,
      sealed: Buffer.from(sealJson(tagger, leaf, message)).toString("latin1"),
    })),
    domainSeparator: toHex(batchSettlementSeparator(CHAIN_ID)),
    channel: { config, id: channelId },
    voucher: {
      channelId,
      maxClaimable: 296_600,
      digest: toHex(voucher),
      signature: toHex(device.sign(voucher)),
    },
    exact: {
      token: TOKEN,
      payTo: SELLER,
      epoch: 0,
      account,
      chargedAtomic: 5_000,
      authorization,
      digest: toHex(transfer),
      signature: toHex(device.sign(transfer)),
    },
    exactVerified: verifiedVectors(device, authorization),
    permit2,
    deposit: {
      salt: 7,
      nonce: depositNonce(channelId, 7),
      digest: toHex(receiveDigest(TOKEN, { ...authorization, to: ZERO, nonce: depositNonce(channelId, 7) })),
    },
    login: {
      wallSeconds: 1_800_000_000,
      token: loginToken(device, gateway.address, 1_800_000_000),
      sealed: sealedLogin(tagger, name, toHex(device.publicKey), 1_800_000_000),
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = new URL("../../../device/protocol/vectors.json", import.meta.url);
  writeFileSync(file, `${JSON.stringify(makeVectors(), null, 2)}\n`);
}
