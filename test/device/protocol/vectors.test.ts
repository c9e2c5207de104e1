import { createECDH, createHmac, hkdfSync } from "node:crypto";
import * as stock from "@x402/evm";
import {
  domainSeparator,
  encodeAbiParameters,
  type Hex,
  hashTypedData,
  keccak256,
  parseTransaction,
  recoverMessageAddress,
  recoverTransactionAddress,
  recoverTypedDataAddress,
  toHex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import vectors from "../../../device/protocol/vectors.json";
import { makeVectors } from "./make-vectors.ts";

const device = privateKeyToAccount(vectors.device.secret as Hex);
const gateway = privateKeyToAccount(vectors.gateway.secret as Hex);
const token = { ...vectors.exact.token, address: vectors.exact.token.address as Hex };
const BATCH = {
  name: "x402 Batch Settlement",
  version: "1",
  chainId: vectors.chainId,
  verifyingContract: "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003" as Hex,
} as const;

const bytes = (hex: string) => Buffer.from(hex.slice(2), "hex");
const number = (value: number, width: number) => value.toString(16).padStart(2 * width, "0");

/** The first 16 bytes of HMAC-SHA256 over leaf, a zero byte and the payload, by node:crypto alone. */
function tagOf(leaf: string, payload: Uint8Array): string {
  const mac = createHmac("sha256", bytes(vectors.tagKey)).update(`${leaf}\0`, "latin1").update(payload);
  return mac.digest("hex").slice(0, 32);
}

describe("the published vectors", () => {
  it("are what this code makes, byte for byte", () => {
    expect(JSON.parse(JSON.stringify(makeVectors()))).toEqual(vectors);
  });

  it("name two keys and the tag key between them as other libraries do", () => {
    expect(vectors.device.address).toBe(device.address.toLowerCase());
    expect(vectors.gateway.address).toBe(gateway.address.toLowerCase());
    const ecdh = createECDH("secp256k1");
    ecdh.setPrivateKey(bytes(vectors.device.secret));
    expect(ecdh.getPublicKey("hex", "compressed")).toBe(vectors.device.publicKey.slice(2));
    const shared = ecdh.computeSecret(bytes(vectors.gateway.publicKey));
    const key = hkdfSync("sha256", shared, "", "watt402 message tag 1", 32);
    expect(toHex(new Uint8Array(key))).toBe(vectors.tagKey);
  });

  it("spell out every topic", () => {
    const name = device.address.slice(2).toLowerCase();
    for (const { leaf, topic } of vectors.topics) expect(topic).toBe(`x402/1/${name}/${leaf}`);
    expect(vectors.topics).toHaveLength(10);
  });

  it("lay out PAY and GRANT as the table says, tags by node:crypto", () => {
    for (const pay of vectors.pay) {
      const exact = pay.validBeforeSeconds > 0;
      const approved = pay.signature.length > 2 + 2 * 65;
      const head = [
        approved ? "14" : exact ? "13" : "11",
        pay.again ? "01" : "00",
        number(pay.channelTag, 4),
        number(pay.maxClaimable, 6),
        number(pay.register, 6),
        exact ? number(pay.validBeforeSeconds, 4) : "",
      ].join("");
      expect(pay.frame).toBe(`0x${head}${pay.signature.slice(2)}`);
      expect(pay.sealed).toBe(pay.frame + tagOf("pay", bytes(pay.frame)));
      expect(bytes(pay.sealed)).toHaveLength(approved ? 193 : exact ? 103 : 99);
    }
    for (const grant of vectors.grant) {
      const fields = [
        grant.refusal === null ? "00" : "02",
        number(grant.channelTag, 4),
        number(grant.charged, 6),
        number(grant.granted, 6),
        number(grant.pricePerMillionUnits, 4),
        number(grant.validUntilSeconds, 4),
      ].join("");
      expect(grant.frame).toBe(`0x12${fields}`);
      expect(grant.sealed).toBe(grant.frame + tagOf("grant", bytes(grant.frame)));
      expect(bytes(grant.sealed)).toHaveLength(42);
    }
  });

  it("seal JSON in ASCII that any parser reads, with the tag as last member", () => {
    for (const { leaf, message, sealed } of vectors.json) {
      expect(sealed).toMatch(/^[\x20-\x7e]*$/);
      const { tag, ...rest } = JSON.parse(sealed);
      expect(rest).toEqual(message);
      const head = sealed.slice(0, sealed.lastIndexOf(',"tag":'));
      expect(tag).toBe(tagOf(leaf, Buffer.from(head, "latin1")));
    }
  });

  it("equal viem's EIP-712: separator, channel id, voucher", async () => {
    const { config, id } = vectors.channel;
    const address = (name: string) => ({ name, type: "address" });
    const types = {
      ChannelConfig: [
        ...["payer", "payerAuthorizer", "receiver", "receiverAuthorizer", "token"].map(address),
        { name: "withdrawDelay", type: "uint40" },
        { name: "salt", type: "bytes32" },
      ],
      Voucher: [
        { name: "channelId", type: "bytes32" },
        { name: "maxClaimableAmount", type: "uint128" },
      ],
    };
    expect(vectors.domainSeparator).toBe(domainSeparator({ domain: BATCH }));
    expect(id).toBe(hashTypedData({ domain: BATCH, types, primaryType: "ChannelConfig", message: config }));
    const message = { channelId: id, maxClaimableAmount: BigInt(vectors.voucher.maxClaimable) };
    const typed = { domain: BATCH, types, primaryType: "Voucher" as const, message };
    expect(vectors.voucher.digest).toBe(hashTypedData(typed));
    expect(vectors.voucher.signature).toBe(await device.signTypedData(typed));
    expect(vectors.pay[0]!.signature).toBe(vectors.voucher.signature);
  });

  it("equal viem's EIP-3009, with nonces anyone can recompute", async () => {
    const { account, chargedAtomic, payTo, epoch, authorization } = vectors.exact;
    const word = (type: string, value: unknown) => encodeAbiParameters([{ type }], [value]).slice(2);
    const text = (words: string) => Buffer.from(words).toString("hex");
    expect(account).toBe(
      keccak256(
        `0x${text("watt402 exact account")}${word("address", device.address)}${word("address", payTo)}${word("uint256", BigInt(token.chainId))}${word("address", token.address)}${word("uint256", BigInt(epoch))}`,
      ),
    );
    expect(authorization.nonce).toBe(
      keccak256(
        `0x${text("watt402 exact nonce")}${account.slice(2)}${word("uint256", BigInt(chargedAtomic))}`,
      ),
    );
    const typed = {
      domain: {
        name: token.name,
        version: token.version,
        chainId: token.chainId,
        verifyingContract: token.address,
      },
      types: {
        TransferWithAuthorization: [
          { name: "from", type: "address" },
          { name: "to", type: "address" },
          { name: "value", type: "uint256" },
          { name: "validAfter", type: "uint256" },
          { name: "validBefore", type: "uint256" },
          { name: "nonce", type: "bytes32" },
        ],
      },
      primaryType: "TransferWithAuthorization" as const,
      message: {
        from: authorization.from as Hex,
        to: authorization.to as Hex,
        value: BigInt(authorization.value),
        validAfter: 0n,
        validBefore: BigInt(authorization.validBeforeSeconds),
        nonce: authorization.nonce as Hex,
      },
    };
    expect(vectors.exact.digest).toBe(hashTypedData(typed));
    expect(vectors.exact.signature).toBe(await device.signTypedData(typed));
    const signature = vectors.exact.signature as Hex;
    expect(await recoverTypedDataAddress({ ...typed, signature })).toBe(device.address);

    const verified = vectors.exactVerified;
    const { verifier } = verified;
    expect(verified.account).toBe(
      keccak256(
        `0x${text("watt402 exact account")}${word("address", device.address)}${word("address", payTo)}${word("uint256", BigInt(token.chainId))}${word("address", token.address)}${word("uint256", BigInt(epoch))}${word("address", verifier.address)}`,
      ),
    );
    expect(verified.nonce).toBe(
      keccak256(
        `0x${text("watt402 exact nonce")}${verified.account.slice(2)}${word("uint256", BigInt(chargedAtomic))}`,
      ),
    );
    const { name, version, chainId, address } = verifier;
    const inItsPlace = {
      ...typed,
      domain: { name, version, chainId, verifyingContract: address as Hex },
      message: { ...typed.message, nonce: verified.nonce as Hex },
    };
    expect(verified.signature).toBe(await device.signTypedData(inItsPlace));
    const { nonce, salt } = vectors.deposit;
    expect(nonce).toBe(
      keccak256(
        encodeAbiParameters(
          [{ type: "bytes32" }, { type: "uint256" }],
          [vectors.channel.id as Hex, BigInt(salt)],
        ),
      ),
    );
  });

  it("equal the stock package's Permit2 types under viem, approvals too", async () => {
    const { account, payTo, exact, upto, eip2612, erc20 } = vectors.permit2;
    const word = (type: string, value: unknown) => encodeAbiParameters([{ type }], [value]).slice(2);
    const text = Buffer.from("watt402 permit2 account").toString("hex");
    expect(account).toBe(
      keccak256(
        `0x${text}${word("address", device.address)}${word("address", payTo)}${word("uint256", BigInt(token.chainId))}${word("address", token.address)}${word("uint256", 0n)}`,
      ),
    );
    const domain = {
      name: "Permit2",
      chainId: vectors.chainId,
      verifyingContract: stock.PERMIT2_ADDRESS,
    } as const;
    const message = (found: typeof exact) => ({
      permitted: { token: token.address, amount: BigInt(found.permit.amountAtomic) },
      spender: found.spender as Hex,
      nonce: BigInt(found.permit.nonce),
      deadline: BigInt(found.permit.deadlineSeconds),
    });
    const primaryType = "PermitWitnessTransferFrom" as const;
    const byExact = {
      domain,
      types: stock.permit2WitnessTypes,
      primaryType,
      message: { ...message(exact), witness: { to: payTo as Hex, validAfter: 0n } },
    };
    expect(exact.signature).toBe(await device.signTypedData(byExact));
    const facilitator = upto.permit.witness.facilitator as Hex;
    const byUpto = {
      domain,
      types: stock.uptoPermit2WitnessTypes,
      primaryType,
      message: { ...message(upto as never), witness: { to: payTo as Hex, facilitator, validAfter: 0n } },
    };
    expect(upto.signature).toBe(await device.signTypedData(byUpto));
    const { permit } = eip2612;
    const permitted = {
      domain: {
        name: token.name,
        version: token.version,
        chainId: token.chainId,
        verifyingContract: token.address,
      },
      types: {
        Permit: [
          { name: "owner", type: "address" },
          { name: "spender", type: "address" },
          { name: "value", type: "uint256" },
          { name: "nonce", type: "uint256" },
          { name: "deadline", type: "uint256" },
        ],
      },
      primaryType: "Permit" as const,
      message: {
        owner: device.address,
        spender: stock.PERMIT2_ADDRESS as Hex,
        value: BigInt(permit.amountAtomic),
        nonce: BigInt(permit.nonce),
        deadline: BigInt(permit.deadlineSeconds),
      },
    };
    expect(eip2612.signature).toBe(await device.signTypedData(permitted));
    const signed = erc20.signed as `0x02${string}`;
    expect(parseTransaction(signed)).toMatchObject({
      to: token.address,
      chainId: vectors.chainId,
      nonce: erc20.transaction.nonce,
      gas: 70_000n,
    });
    const signer = await recoverTransactionAddress({ serializedTransaction: signed });
    expect(signer).toBe(device.address);
  });

  it("log in with an EIP-191 message that viem signs alike", async () => {
    const { wallSeconds, token: password } = vectors.login;
    const message = `watt402 login\ndevice ${vectors.device.address}\ngateway ${vectors.gateway.address}\ntime ${wallSeconds}`;
    expect(password).toBe(`${wallSeconds}.${await device.signMessage({ message })}`);
    const signature = password.slice(password.indexOf(".") + 1) as Hex;
    expect(await recoverMessageAddress({ message, signature })).toBe(device.address);
  });
});
