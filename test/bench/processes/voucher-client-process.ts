/**
 * A client that pays the electricity API directly: the seller alone, without a gateway, per voucher and per plain GET.
 *
 * Promise: vouchers are what a gateway would send, byte for byte; each channel has one request under way.
 */

import { randomBytes } from "node:crypto";
import { Agent, request } from "undici";
import { voucherPayload } from "#gateway/purchase/payload";
import type { ChannelRecord, DepositRecord } from "#gateway/purchase/ports";
import { electricitySeller } from "#gateway/sellers/client/electricity-seller";
import { openHttp } from "#gateway/sellers/client/seller-http";
import { depositNonce, receiveDigest } from "#payment/authorization";
import { fromHex, toHex, wordOfInteger } from "#payment/bytes";
import { channelIdOf, DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { openKey } from "#payment/key";
import { voucherDigest } from "#payment/voucher";
import { tokenName } from "#protocol/payment-token";
import { answerParent, optionsOfParent } from "./child.ts";
import type { FleetMark } from "./fleet-process.ts";

export interface VoucherClientOptions {
  readonly sellerUrl: string;
  readonly chainId: number;
  readonly token: string;
  readonly treasuryKey: string;
  readonly channels: number;
  readonly amountAtomic: number;
  readonly depositAtomic: number;
}

const options = optionsOfParent<VoucherClientOptions>();
const { sellerUrl, chainId, token, treasuryKey, channels, amountAtomic, depositAtomic } = options;
const network = `eip155:${chainId}`;
const DEPOSIT_LIFE_SECONDS = 3_000;
const TIMEOUT_MS = 30_000;

const treasury = openKey(fromHex(treasuryKey));
const httpClient = openHttp({
  connections: channels,
  timeoutMs: TIMEOUT_MS,
  origins: [sellerUrl],
  allowPrivate: true,
  authorities: null,
});
const seller = electricitySeller(httpClient, sellerUrl, {
  schemes: ["batch-settlement"],
  tokens: [{ network, asset: token }],
});
const agent = new Agent({ connections: channels, pipelining: 1 });

interface Buyer {
  channel: ChannelRecord;
  readonly key: ReturnType<typeof openKey>;
}

let mode: "shut" | "vouchers" | "get" = "shut";
let done = 0;
let working: Promise<unknown> = Promise.resolve();
const buyers: Buyer[] = [];

async function openBuyer(): Promise<Buyer> {
  const { quote, reason } = await seller.quote(amountAtomic);
  if (quote === null) throw new Error(reason);
  const { requirements } = quote;
  const key = openKey(randomBytes(32));
  const { receiverAuthorizer, withdrawDelay, name, version } = requirements.extra;
  const config = {
    payer: treasury.address,
    payerAuthorizer: key.address,
    receiver: requirements.payTo,
    receiverAuthorizer: String(receiverAuthorizer),
    token: requirements.asset,
    withdrawDelay: Number(withdrawDelay),
    salt: toHex(wordOfInteger(0)),
  };
  const id = channelIdOf(config, chainId);
  const validBeforeSeconds = Math.floor(Date.now() / 1000) + DEPOSIT_LIFE_SECONDS;
  const digest = receiveDigest(
    { chainId, address: requirements.asset, name: String(name), version: String(version) },
    {
      from: treasury.address,
      to: DEPOSIT_COLLECTOR_ADDRESS,
      value: depositAtomic,
      validBeforeSeconds,
      nonce: depositNonce(id, 0),
    },
  );
  const deposit: DepositRecord = {
    channelId: id,
    index: 0,
    amountAtomic: depositAtomic,
    validBeforeSeconds,
    signature: toHex(treasury.sign(digest)),
    state: "intended",
    isNewcomer: false,
    token: tokenName({ network, asset: token }),
    atSeconds: 0,
  };
  const counters = {
    balance: depositAtomic,
    promised: depositAtomic,
    charged: 0,
    signed: 0,
    granted: 0,
    revision: 0,
  };
  const { resource } = quote;
  const device = key.address.slice(2);
  const buyer: Buyer = {
    key,
    channel: { id, device, seller: "", resource, requirements, config, ...counters },
  };
  await buy(buyer, deposit);
  return buyer;
}

async function buy(buyer: Buyer, deposit: DepositRecord | null): Promise<void> {
  const { channel, key } = buyer;
  const maxClaimable = channel.charged + amountAtomic;
  const signature = key.sign(voucherDigest(channel.id, maxClaimable, chainId));
  const pay = { again: false, channelTag: 0, maxClaimable, register: 0, validBeforeSeconds: 0, signature };
  const sale = await seller.pay(channel, amountAtomic, voucherPayload(channel, pay, deposit));
  if (sale.kind !== "paid") throw new Error(`expected a sale, found ${sale.kind}: ${sale.reason}`);
  buyer.channel = { ...channel, ...sale.counters };
  done += 1;
}

async function get(): Promise<void> {
  const { statusCode, body } = await request(`${sellerUrl}/v1/tariff`, { dispatcher: agent });
  await body.text();
  if (statusCode !== 200) throw new Error(`expected HTTP 200, found ${statusCode}`);
  done += 1;
}

answerParent(
  {
    async buyOnce() {
      while (buyers.length < channels) buyers.push(await openBuyer());
    },
    /** Begins to buy, or to get, on every channel at once. */
    begin({ what }: { what: "vouchers" | "get" }) {
      mode = what;
      working = Promise.all(
        buyers.map(async (buyer) => {
          while (mode === what) await (what === "get" ? get() : buy(buyer, null));
        }),
      );
      working.catch(() => undefined);
    },
    async rest() {
      mode = "shut";
      await working;
    },
    mark(): FleetMark {
      const { user, system } = process.cpuUsage();
      return { atMs: performance.now(), purchases: done, cpuMicroseconds: user + system };
    },
  },
  async () => {
    mode = "shut";
    await Promise.allSettled([working, httpClient.close(), agent.close()]);
  },
);
