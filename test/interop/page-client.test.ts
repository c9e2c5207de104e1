// device/protocol/x402-over-mqtt.md is enough: a device written from that page alone, with its own codec and its own
// cryptography, buys by both transports and both schemes, on both embedded brokers.

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createPublicClient, erc20Abi, type Hex, http } from "viem";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mint } from "#simulator/chain/deploy";
import vectors from "../../device/protocol/vectors.json";
import { type Ground, prepareGround } from "../gateway/fixtures.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller, UNITS } from "../gateway/purchase/agreement.ts";
import { PageDevice } from "./page-client/device.ts";
import {
  accountOf,
  authorizationDigest,
  batchDomain,
  bytesOf,
  channelIdOf,
  hexOf,
  identityOf,
  nonceOf,
  openObject,
  sealedLogin,
  sealFrame,
  sealObject,
  separatorOf,
  signedLogin,
  tagKeyOf,
  voucherDigest,
} from "./page-client/signing.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test("the client written from the page imports nothing of ours", () => {
  const folder = new URL("./page-client/", import.meta.url);
  const files = readdirSync(folder);
  expect(files.sort()).toEqual(["device.ts", "mqtt.ts", "signing.ts"]);
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), "utf8");
    const imported = [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, name]) => name!);
    expect(imported.length).toBeGreaterThan(0);
    for (const name of imported) expect(name).toMatch(/^(\.\/\w+\.ts|node:\w+|@noble\/\w+\/\w+\.js)$/);
  }
});

test("what it computes from the page's words are the vectors, byte for byte", () => {
  const { device, gateway, login, chainId, channel, voucher, exact } = vectors;
  const identity = identityOf(bytesOf(device.secret));
  expect([identity.address, identity.publicKey]).toEqual([device.address, device.publicKey]);
  const sharedX = identity.sharedX(gateway.publicKey);
  expect(hexOf(sharedX)).toBe(vectors.sharedX);
  const tagKey = tagKeyOf(sharedX);
  expect(hexOf(tagKey)).toBe(vectors.tagKey);
  for (const leaf of ["pay", "grant"] as const) {
    for (const { frame, sealed } of vectors[leaf]) {
      expect(hexOf(sealFrame(tagKey, leaf, bytesOf(frame)))).toBe(sealed);
    }
  }
  for (const { leaf, message, sealed } of vectors.json) {
    expect(sealObject(tagKey, leaf, message)).toBe(sealed);
    expect(openObject(tagKey, leaf, Buffer.from(sealed))).toEqual(message);
    expect(openObject(tagKey, "response", Buffer.from(sealed))).toBeNull();
  }
  expect(signedLogin(identity, gateway.address, login.wallSeconds)).toBe(login.token);
  expect(sealedLogin(identity, tagKey, login.wallSeconds)).toBe(login.sealed);
  expect(hexOf(separatorOf(batchDomain(chainId)))).toBe(vectors.domainSeparator);
  expect(channelIdOf(channel.config, chainId)).toBe(channel.id);
  const rung = voucherDigest(voucher.channelId, voucher.maxClaimable, chainId);
  expect([hexOf(rung), hexOf(identity.sign(rung))]).toEqual([voucher.digest, voucher.signature]);
  const { token, payTo, authorization } = exact;
  expect(accountOf(device.address, payTo, token.chainId, token.address, exact.epoch)).toBe(exact.account);
  expect(nonceOf(exact.account, exact.chargedAtomic)).toBe(authorization.nonce);
  const transfer = authorizationDigest(
    { ...token, contract: token.address },
    { ...authorization, validBefore: authorization.validBeforeSeconds },
  );
  expect([hexOf(transfer), hexOf(identity.sign(transfer))]).toEqual([exact.digest, exact.signature]);
});

async function opened(server: string, schemes: readonly string[]) {
  const seller = await startSeller(ground);
  const config = ground.config(seller.url, {
    broker: { server },
    seller: { schemes },
    forward: { origins: [seller.url] },
  });
  const gateway = await ground.gateway(config);
  const { hostname, port } = new URL(gateway.brokerUrl);
  const device = new PageDevice({
    host: hostname,
    port: Number(port),
    secret: Uint8Array.from(randomBytes(32)),
    gatewayPublicKey: hexOf(ground.gatewayKey.publicKey),
    network: ground.network,
    asset: ground.contracts.token,
    amountMax: 1_000,
    priceMax: 1_000_000,
  });
  return { seller, config, gateway, device };
}

function balanceOf(address: string): Promise<bigint> {
  const chain = createPublicClient({ transport: http(ground.anvil.rpcUrl) });
  const call = { abi: erc20Abi, functionName: "balanceOf", args: [address as Hex] } as const;
  return chain.readContract({ ...call, address: ground.contracts.token as Hex });
}

describe.each(["aedes", "direct"])("on the gateway's own broker, %s", (server) => {
  test("it buys rung after rung by vouchers, over a lost answer and a cut line, and each is charged once", async () => {
    const { seller, config, gateway, device } = await opened(server, ["batch-settlement"]);
    expect(await device.connect({ password: "1.0x00" })).toBe(4);
    expect(await device.connect({ clientId: "other" })).toBe(2);
    expect(await device.connect()).toBe(0);
    expect(await device.connection.subscribe([`x402/1/${device.identity.name}/+`])).toEqual([128]);
    await device.hello(UNITS);
    const offer = await device.offerAfter(0);
    expect([offer.requirements.amount, device.charged]).toEqual([String(QUANTUM), 0]);
    expect(await device.buy()).toMatchObject({ status: 0, charged: QUANTUM, granted: UNITS });
    expect(await device.buy()).toMatchObject({ status: 0, charged: 2 * QUANTUM, granted: 2 * UNITS });

    // The line is cut behind a PAY: its answer is lost, and the rung goes again over the next connection.
    const lost = device.payFrame(false);
    device.connection.onMessage(() => {});
    await device.pay(lost);
    await device.connection.cut();
    const again = device.payFrame(true);
    const sealed = sealedLogin(device.identity, device.tagKey, Math.floor(Date.now() / 1000));
    expect(await device.connect({ password: sealed })).toBe(0);
    await device.pay(again);
    expect(await device.nextGrant()).toMatchObject({ charged: 3 * QUANTUM, granted: 3 * UNITS });
    await device.pay(again);
    expect(await device.nextGrant()).toMatchObject({ charged: 3 * QUANTUM, granted: 3 * UNITS });

    await device.hello(UNITS);
    const { revision } = await device.offerAfter(offer.revision);
    expect(revision).toBeGreaterThan(offer.revision);
    expect(device.offer).toMatchObject({ charged: 3 * QUANTUM, granted: 3 * UNITS });
    expect(await device.buy()).toMatchObject({ charged: 4 * QUANTUM });
    expect(device.dropped).toBe(0);
    const id = device.id;
    await device.connection.end();
    await gateway.stop();

    const { channels, payments } = ledgerRows(dataOf(config));
    expect(channels).toMatchObject([{ id, charged: 4 * QUANTUM, granted: 4 * UNITS }]);
    expect(payments.map((payment) => payment.max_claimable)).toEqual([1, 2, 3, 4].map((n) => n * QUANTUM));
    const { settles } = await seller.stop();
    expect(settles.amountAtomic).toBe(4 * QUANTUM);
  });

  test("it buys by exact from its own wallet, each rung by one transfer", async () => {
    const { seller, config, gateway, device } = await opened(server, ["exact"]);
    expect(await device.connect()).toBe(0);
    await device.hello(UNITS);
    await device.offerAfter(0);
    expect(device.offer!.channel).toBeNull();
    expect(await device.buy()).toMatchObject({ status: 0, charged: QUANTUM });
    const repeated = device.payFrame(false);
    await device.pay(repeated);
    expect(await device.nextGrant()).toMatchObject({ charged: 2 * QUANTUM });
    await device.pay(repeated);
    expect(await device.nextGrant()).toMatchObject({ charged: 2 * QUANTUM, granted: 2 * UNITS });
    await device.connection.end();
    await gateway.stop();
    expect(ledgerRows(dataOf(config)).channels).toMatchObject([{ id: device.id, charged: 2 * QUANTUM }]);
    expect((await seller.stop()).exact.amountAtomic).toBe(2 * QUANTUM);
  });

  test("it buys a resource over the general transport with a payload of its own, once", async () => {
    const { seller, gateway, device } = await opened(server, ["batch-settlement", "exact"]);
    const url = `${seller.url}/v1/energy?quantum=${QUANTUM}`;
    await mint(ground.anvil, device.identity.address as Hex, 1_000n);
    expect(await device.connect()).toBe(0);
    expect(await device.request("early", url)).toMatchObject({ id: "early", status: 403 });
    await device.hello(UNITS);
    await device.offerAfter(0);

    const asked = await device.request("a", url);
    expect(asked.leaf).toBe("payment-required");
    const accepted = asked.paymentRequired!.accepts.find(({ scheme }) => scheme === "exact")!;
    const payment = device.exactPayment(url, accepted, hexOf(randomBytes(32)));
    const text = JSON.stringify({ v: 1, id: "a", payment });
    const paid = await device.ask("payment", text);
    expect(paid).toMatchObject({ id: "a", status: 200, settlement: { success: true } });
    expect(await device.ask("payment", text)).toEqual(paid);
    const other = device.exactPayment(url, accepted, hexOf(randomBytes(32)));
    expect(await device.ask("payment", JSON.stringify({ v: 1, id: "a", payment: other }))).toMatchObject({
      id: "a",
      status: 409,
    });
    expect(await device.ask("request", '{"v":1,"id":"b","method":"PATCH"}')).toMatchObject({
      id: "b",
      status: 400,
    });
    expect(await device.request("c", "http://127.0.0.1:1/")).toMatchObject({ id: "c", status: 400 });
    expect(await balanceOf(device.identity.address)).toBe(1_000n - BigInt(QUANTUM));
    await device.connection.end();
    await gateway.stop();
    await seller.stop();
  });
});
