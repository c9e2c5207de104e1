// The gateway's rules on ports in memory: a ledger that keeps what it stored, an honest seller with its token
// on a small chain, and a power that can be cut at any call.

import { generatePrivateKey } from "viem/accounts";
import type { Hmac } from "#core/ports";
import { channelTagOf } from "#core/rungs";
import { COUNTER_MAX, unitsForQuantum } from "#core/units";
import { channelFor } from "#gateway/purchase/channels";
import { type FundingLimits, totalsOf } from "#gateway/purchase/funding";
import { isVoucherSigned } from "#gateway/purchase/payload";
import type { Permit2OnChain } from "#gateway/purchase/permit2/permit2-on-chain";
import {
  type Chain,
  type ChannelKey,
  type ChannelRecord,
  type DecideDeposit,
  type DepositRecord,
  type DepositTotals,
  type DeviceRecord,
  type Ledger,
  type OverdueDeposit,
  type PaymentRecord,
  type Quote,
  type Sale,
  type Seller,
  type SellerClient,
  type SellerCounters,
  type SellerRouter,
  type Tariff,
  UNTIMED,
  type UnknownOutcome,
} from "#gateway/purchase/ports";
import type { PurchaseParts } from "#gateway/purchase/present";
import type { StoredDocument } from "#market/documents";
import { hmacSha256 } from "#node/key/native-hmac";
import { type Authorization, depositNonce, purchaseNonce, transferDigest } from "#payment/authorization";
import { fromHex, toHex } from "#payment/bytes";
import { DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { voucherDigest } from "#payment/voucher";
import type { Pay } from "#protocol/frames";
import type { OfferedRequirements } from "#protocol/messages";
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import type { PaymentPayload } from "#protocol/x402";

export const PRICE = 200_000;
export const QUANTUM = 100;
export const UNITS = unitsForQuantum(QUANTUM, PRICE);
export const NETWORK = "eip155:31337";
export const TOKEN = "0xd0114a0000000000000000000000000000000402";
export const PAY_TO = `0x${"5e".repeat(20)}`;
export const NOW_SECONDS = 1_800_000_000;
export const hmac: Hmac = hmacSha256;

export function newKey(): Key {
  return openKey(fromHex(generatePrivateKey()));
}

export function requirementsOf(scheme: "batch-settlement" | "exact", amount: number): OfferedRequirements {
  const batch = { receiverAuthorizer: PAY_TO, withdrawDelay: 86_400 };
  return {
    scheme,
    network: NETWORK,
    amount: String(amount),
    asset: TOKEN,
    payTo: PAY_TO,
    maxTimeoutSeconds: 300,
    extra: { name: "USD Coin", version: "2", ...(scheme === "exact" ? {} : batch) },
  };
}

export function deviceOf(key: Key, wantedUnits = UNITS): DeviceRecord {
  return {
    device: key.address.slice(2),
    publicKey: toHex(key.publicKey),
    model: "bench",
    firmware: "1",
    meter: "none",
    unit: "mWh",
    wantedUnits,
    pays: "",
    payee: "",
  };
}

// ---- the disk ----

export class MemoryLedger implements Ledger {
  readonly devices = new Map<string, DeviceRecord>();
  readonly channels = new Map<string, ChannelRecord>();
  readonly payments = new Map<string, PaymentRecord>();
  readonly depositRows = new Map<string, DepositRecord>();

  device(device: string): DeviceRecord | null {
    return this.devices.get(device) ?? null;
  }
  async saveDevice(record: DeviceRecord): Promise<void> {
    this.devices.set(record.device, record);
  }
  channelsOf(device: string): readonly ChannelRecord[] {
    const found = [...this.channels.values()].filter((channel) => channel.device === device);
    return found.map((channel) => {
      const unknown = this.unknowns.get(channel.id);
      const { unknown: _, ...known } = channel;
      return { ...known, balance: this.balanceOf(channel.id), ...(unknown === undefined ? {} : { unknown }) };
    });
  }
  async saveChannel(record: ChannelRecord): Promise<void> {
    const before = this.channels.get(record.id);
    this.channels.set(record.id, {
      ...record,
      promised: Math.max(record.promised, before?.promised ?? 0),
      charged: Math.max(record.charged, before?.charged ?? 0),
      signed: Math.max(record.signed, before?.signed ?? 0),
      granted: Math.max(record.granted, before?.granted ?? 0),
    });
  }
  payment(channelId: string, maxClaimable: number): PaymentRecord | null {
    return this.payments.get(`${channelId} ${maxClaimable}`) ?? null;
  }
  paymentsAfter(channelId: string, charged: number, limit: number): readonly PaymentRecord[] {
    return [...this.payments.values()]
      .filter((payment) => payment.channelId === channelId && payment.maxClaimable > charged)
      .sort((left, right) => left.maxClaimable - right.maxClaimable)
      .slice(0, limit);
  }
  async recordPayment(payment: PaymentRecord, channel: ChannelRecord): Promise<void> {
    const key = `${payment.channelId} ${payment.maxClaimable}`;
    if (!this.payments.has(key)) this.payments.set(key, payment);
    await this.saveChannel(channel);
  }
  deposits(channelId: string): readonly DepositRecord[] {
    const rows = [...this.depositRows.values()].filter((deposit) => deposit.channelId === channelId);
    return rows.sort((left, right) => left.index - right.index);
  }
  readonly unknowns = new Map<string, UnknownOutcome>();
  async saveUnknown(channelId: string, unknown: UnknownOutcome | null): Promise<void> {
    if (unknown === null) this.unknowns.delete(channelId);
    else this.unknowns.set(channelId, unknown);
  }
  readonly documents = new Map<string, StoredDocument>();
  async saveDocument(document: StoredDocument): Promise<void> {
    this.documents.set(`${document.kind} ${document.name}`, document);
  }
  async saveDeposit(record: DepositRecord): Promise<void> {
    this.depositRows.set(`${record.channelId} ${record.index}`, record);
  }
  async intendDeposit(
    channel: ChannelKey,
    index: number,
    daySinceSeconds: number,
    decide: DecideDeposit,
  ): Promise<DepositRecord | null> {
    const known = this.depositRows.get(`${channel.id} ${index}`) ?? null;
    const inForce = decide(known, this.depositTotals(channel, daySinceSeconds));
    if (inForce !== null) this.depositRows.set(`${channel.id} ${index}`, inForce);
    return inForce;
  }
  depositTotals(channel: ChannelKey, daySinceSeconds: number): DepositTotals {
    const deviceOf = (id: string) => this.channels.get(id)?.device;
    const counted = [...this.depositRows.values()].map((deposit) => ({
      deposit,
      isOfChannel: deposit.channelId === channel.id,
      isOfDevice: deposit.channelId === channel.id || deviceOf(deposit.channelId) === channel.device,
      hasBought: [...this.channels.values()].some(
        ({ device, charged }) => device === deviceOf(deposit.channelId) && charged > 0,
      ),
    }));
    return totalsOf(counted, daySinceSeconds, channel.requirements);
  }
  overdueDeposits(paid: PaymentToken, nowSeconds: number, limit: number): readonly OverdueDeposit[] {
    return [...this.depositRows.values()]
      .filter(({ token }) => token === tokenName(paid))
      .filter(({ state, validBeforeSeconds }) => state === "intended" && validBeforeSeconds <= nowSeconds)
      .sort((left, right) => left.validBeforeSeconds - right.validBeforeSeconds)
      .slice(0, limit)
      .map((deposit) => {
        const { id, device, requirements } = this.channels.get(deposit.channelId)!;
        return { deposit, channel: { id, device, requirements } };
      });
  }
  balanceOf(channelId: string): number {
    return this.deposits(channelId)
      .filter((deposit) => deposit.state === "confirmed")
      .reduce((sum, deposit) => sum + deposit.amountAtomic, 0);
  }
}

// ---- the chain ----

/** A token that admits each nonce once, and the escrow of channels. */
export class MemoryChain implements Chain {
  /** By payer and nonce: what was moved, and to whom. */
  readonly used = new Map<string, { to: string; value: number }>();
  readonly escrow = new Map<string, number>();
  readonly wallets = new Map<string, number>();
  clockSeconds = NOW_SECONDS;

  async timeSeconds(): Promise<number> {
    return this.clockSeconds;
  }
  async tokenBalance(_token: string, owner: string): Promise<number> {
    return this.wallets.get(owner) ?? 0;
  }
  async heldBalance(_contract: string, _token: string, owner: string): Promise<number> {
    return this.wallets.get(owner) ?? 0;
  }
  async authorizationUsed(_token: string, from: string, nonce: string): Promise<boolean> {
    return this.used.has(`${from} ${nonce}`);
  }
  async channelBalance(channelId: string): Promise<number> {
    return this.escrow.get(channelId) ?? 0;
  }
  async paidByAuthorization(_token: string, from: string, nonce: string, to: string): Promise<number | null> {
    const moved = this.used.get(`${from} ${nonce}`);
    return moved && moved.to === to ? moved.value : null;
  }
  readonly permit2: Permit2OnChain = {
    allowance: async () => COUNTER_MAX,
    isUsed: async (owner, nonce) => this.used.has(`${owner} ${nonce}`),
    paid: (token, from, nonce, to) => this.paidByAuthorization(token, from, nonce, to),
    approvalTerms: async () => null,
    approve: async () => {},
  };
  async submitTransfer(_token: string, authorization: Authorization): Promise<void> {
    const { from, to, value, nonce } = authorization;
    this.transfer(from, to, value, nonce);
  }
  /** Throws when the nonce was used before. */
  transfer(from: string, to: string, value: number, nonce: string): void {
    const key = `${from} ${nonce}`;
    if (this.used.has(key)) throw new Error("authorization is used");
    this.used.set(key, { to, value });
    this.wallets.set(from, (this.wallets.get(from) ?? 0) - value);
    this.wallets.set(to, (this.wallets.get(to) ?? 0) + value);
  }
}

// ---- the seller ----

interface BatchPayload {
  readonly type: "voucher" | "deposit";
  readonly voucher: { channelId: string; maxClaimableAmount: string; signature: string };
  readonly deposit?: {
    readonly amount: string;
    readonly authorization: { erc3009Authorization: { salt: string; validBefore: string } };
  };
}

interface ExactPayload {
  readonly signature: string;
  readonly authorization: {
    from: string;
    to: string;
    value: string;
    validBefore: string;
    nonce: string;
  };
}

/** Charges as x402's server does: a voucher must be exactly what was charged plus the amount. */
export class HonestSeller implements Seller {
  readonly chain: MemoryChain;
  readonly treasury: string;
  readonly signers = new Map<string, string>();
  readonly accounts = new Map<string, SellerCounters>();
  /** Every charge, in order. */
  readonly charges: { account: string; from: number; to: number }[] = [];
  price = PRICE;
  presented = 0;
  menu: readonly number[] = [10, 20, 50, 100, 200, 500, 1000];
  scheme: "batch-settlement" | "exact" = "batch-settlement";
  /** Thousandths of a voucher's amount that are charged. */
  chargedPermille = 1000;

  constructor(chain: MemoryChain, treasury: string) {
    this.chain = chain;
    this.treasury = treasury;
  }

  tariffNow(): Tariff {
    return { unit: "mWh", pricePerMillionUnits: this.price, validUntilSeconds: 0, menu: this.menu };
  }
  async tariff() {
    return { tariff: this.tariffNow(), reason: "" };
  }
  async quote(quantumAtomic: number): Promise<{ quote: Quote | null; reason: string }> {
    const requirements = requirementsOf(this.scheme, quantumAtomic);
    return { quote: { resource: `http://seller/energy?quantum=${quantumAtomic}`, requirements }, reason: "" };
  }
  async pay(channel: ChannelRecord, amountAtomic: number, payload: PaymentPayload): Promise<Sale> {
    this.presented += 1;
    if (!this.menu.includes(amountAtomic)) return this.unpaid("quantum not on the menu", null);
    return channel.config === null
      ? this.#payExact(channel, amountAtomic, payload.payload as unknown as ExactPayload)
      : this.#payChannel(channel, amountAtomic, payload.payload as unknown as BatchPayload);
  }
  async recover(channel: ChannelRecord): Promise<SellerCounters | null> {
    return this.accounts.get(channel.id) ?? null;
  }

  #payChannel(channel: ChannelRecord, amountAtomic: number, payload: BatchPayload): Sale {
    const { voucher, deposit } = payload;
    const before = this.accounts.get(channel.id) ?? { charged: 0, granted: 0 };
    const max = Number(voucher.maxClaimableAmount);
    const digest = voucherDigest(channel.id, max, chainIdOf(NETWORK));
    if (recoverAddress(digest, fromHex(voucher.signature)) !== `0x${channel.device}`) {
      return this.unpaid("invalid_batch_settlement_evm_voucher_signature", null);
    }
    if (max !== before.charged + amountAtomic) {
      return this.unpaid("invalid_batch_settlement_evm_cumulative_amount_mismatch", before.charged);
    }
    if (deposit) {
      const salt = Number(BigInt(deposit.authorization.erc3009Authorization.salt));
      const nonce = depositNonce(channel.id, salt);
      const amount = Number(deposit.amount);
      if (this.chain.used.has(`${this.treasury} ${nonce}`)) {
        return this.unpaid("invalid_batch_settlement_evm_deposit_simulation_failed", null);
      }
      if (max > (this.chain.escrow.get(channel.id) ?? 0) + amount) {
        return this.unpaid("invalid_batch_settlement_evm_cumulative_exceeds_balance", null);
      }
      this.chain.transfer(this.treasury, DEPOSIT_COLLECTOR_ADDRESS, amount, nonce);
      this.chain.escrow.set(channel.id, (this.chain.escrow.get(channel.id) ?? 0) + amount);
    }
    if (max > (this.chain.escrow.get(channel.id) ?? 0)) {
      return this.unpaid("invalid_batch_settlement_evm_cumulative_exceeds_balance", null);
    }
    return this.charge(channel.id, before, Math.ceil((amountAtomic * this.chargedPermille) / 1000));
  }

  #payExact(channel: ChannelRecord, amountAtomic: number, payload: ExactPayload): Sale {
    const { authorization, signature } = payload;
    const { from, to, nonce } = authorization;
    const value = Number(authorization.value);
    const validBeforeSeconds = Number(authorization.validBefore);
    const token = { chainId: chainIdOf(NETWORK), address: TOKEN, name: "USD Coin", version: "2" };
    const digest = transferDigest(token, {
      from,
      to,
      value,
      validBeforeSeconds,
      nonce: nonce as `0x${string}`,
    });
    if (recoverAddress(digest, fromHex(signature)) !== from || to !== PAY_TO || value !== amountAtomic) {
      return this.unpaid("invalid_exact_evm_signature", null);
    }
    if (this.chain.used.has(`${from} ${nonce}`)) {
      return this.unpaid("invalid_exact_evm_nonce_already_used", null);
    }
    this.chain.transfer(from, to, value, nonce);
    return this.charge(channel.id, this.accounts.get(channel.id) ?? { charged: 0, granted: 0 }, amountAtomic);
  }

  charge(account: string, before: SellerCounters, amountAtomic: number): Sale {
    const charged = before.charged + amountAtomic;
    const counters = { charged, granted: before.granted + unitsForQuantum(amountAtomic, this.price) };
    this.accounts.set(account, counters);
    this.charges.push({ account, from: before.charged, to: charged });
    return {
      kind: "paid",
      counters,
      pricePerMillionUnits: this.price,
      validUntilSeconds: 0,
      transaction: "",
    };
  }

  unpaid(reason: string, charged: number | null): Sale {
    return { kind: "unpaid", reason, charged };
  }
}

/** A seller with nothing between it and the rules. */
export function clientOf(seller: HonestSeller, name = "seller"): SellerClient {
  return {
    name,
    seller,
    tariff: () => seller.tariffNow(),
    lacks: () => ({ reason: "" }),
    isMetered: () => false,
    reconsider: async () => true,
    refused: () => {},
    quote: (quantumAtomic) => seller.quote(quantumAtomic),
    owns: (owner) => owner === name,
  };
}

/** All devices buy from one. */
export function routerOf(client: SellerClient): SellerRouter {
  return { clientFor: () => client, clientOf: ({ seller }) => (client.owns(seller) ? client : null) };
}

// ---- a bench ----

export interface Bench {
  readonly ledger: MemoryLedger;
  readonly chain: MemoryChain;
  readonly seller: HonestSeller;
  readonly treasury: Key;
  readonly limits: FundingLimits;
  readonly notes: string[];
  nowSeconds: number;
  /** Parts on these ports; others in their place for a test's trouble. */
  parts(instead?: Partial<PurchaseParts>): PurchaseParts;
}

export function newBench(limits: Partial<FundingLimits> = {}): Bench {
  const treasury = newKey();
  const chain = new MemoryChain();
  chain.wallets.set(treasury.address, 1_000_000_000);
  const notes: string[] = [];
  const bench: Bench = {
    ledger: new MemoryLedger(),
    chain,
    seller: new HonestSeller(chain, treasury.address),
    treasury,
    limits: {
      depositAtomic: 1000,
      depositDays: 0,
      perChannelAtomic: 100_000,
      perDevicePerDayAtomic: 1_000_000,
      perDayAtomic: 1_000_000,
      fleetAtomic: 1_000_000_000,
      newcomersPerDayAtomic: 1_000_000,
      ...limits,
    },
    notes,
    nowSeconds: NOW_SECONDS,
    parts: (instead = {}) => ({
      ledger: bench.ledger,
      treasury: { address: treasury.address, sign: (digest) => treasury.sign(digest) },
      chain: bench.chain,
      seller: bench.seller,
      limits: bench.limits,
      isEnrolled: () => false,
      isSigned: isVoucherSigned,
      isOnSale: () => true,
      signsAhead: false,
      note: (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
      observe: () => {},
      timing: UNTIMED,
      now: () => bench.nowSeconds,
      ...instead,
    }),
  };
  return bench;
}

/** A device's channel as a first offer opens it, already in the ledger. */
export async function openChannelOf(bench: Bench, key: Key, quantum = QUANTUM): Promise<ChannelRecord> {
  const { quote } = await bench.seller.quote(quantum);
  const device = deviceOf(key);
  await bench.ledger.saveDevice(device);
  const buyer = { device, client: clientOf(bench.seller), signsAhead: false, leaves: false };
  const channel = await channelFor(bench.parts(), buyer, quote!, NOW_SECONDS * 1000);
  await bench.ledger.saveChannel(channel);
  return channel;
}

/** The PAY a device makes for a rung. */
export function payOf(key: Key, channel: ChannelRecord, maxClaimable: number, register = 0): Pay {
  const exact = channel.config === null;
  const validBeforeSeconds = exact ? NOW_SECONDS + 600 : 0;
  const digest = exact
    ? transferDigest(
        { chainId: chainIdOf(NETWORK), address: TOKEN, name: "USD Coin", version: "2" },
        {
          from: key.address,
          to: PAY_TO,
          value: maxClaimable - channel.charged,
          validBeforeSeconds,
          nonce: purchaseNonce(channel.id, channel.charged),
        },
      )
    : voucherDigest(channel.id, maxClaimable, chainIdOf(NETWORK));
  const channelTag = channelTagOf(channel.id);
  return {
    again: false,
    channelTag,
    maxClaimable,
    register,
    validBeforeSeconds,
    signature: key.sign(digest),
  };
}
