/**
 * Which channel a device buys on, and the offer of that channel.
 *
 * Promise: one channel per device, seller and token at a time, recomputed from its configuration and never
 * reused for another seller; one that can be bought on no more is left for one that was left at the present
 * price, or for the next salt; an offer promises no more deposit than the treasury's limits allow.
 */

import { unitsForQuantum } from "#core/units";
import { exactAccountOf } from "#payment/authorization";
import { toHex, wordOfInteger } from "#payment/bytes";
import { channelIdOf } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import { transferMethodOf, verifierOf } from "#payment/offer/offer";
import { Watt402Error } from "#payment/watt402-error";
import type { AskedApproval, ChannelConfig, OfferedRequirements, OfferMessage } from "#protocol/messages";
import { type DepositParts, depositSize, fundWallet, intendDeposit, openDeposit } from "./deposit.ts";
import { type ApprovalNeed, approvalNeed } from "./permit2/approval-needed.ts";
import { depositMethodOf } from "./permit2/deposit-permit.ts";
import type { ChannelRecord, DeviceRecord, Quote, SellerClient, Tariff } from "./ports.ts";

/** Channels that differ in their salt alone, or exact accounts in their epoch: numbered 0, 1, 2, ... */
const SALTS_MAX = 128;

/** Purchases left in the promised balance below which the next deposit is promised. */
const PROMISE_AHEAD = 8;

/**
 * The quantum on the menu that comes nearest to what the device wants one purchase to last, of those that lead above
 * what was signed already: no amount of a channel is signed on two counters. Of all where none does.
 * @param aheadAtomic signed on the channel and not charged, atomic units
 */
export function chooseQuantum({ menu, ...tariff }: Tariff, wantedUnits: number, aheadAtomic: number): number {
  const leading = menu.filter((quantum) => quantum > aheadAtomic);
  const choice = leading.length > 0 ? leading : menu;
  return choice.reduce((best, quantum) =>
    distance(tariff, quantum, wantedUnits) < distance(tariff, best, wantedUnits) ? quantum : best,
  );
}

/** What an offer to a device is made from. */
interface Offered {
  readonly record: DeviceRecord;
  /** The channel offered last; null until an offer could be made. */
  readonly channel: ChannelRecord | null;
  readonly channels: readonly ChannelRecord[];
}

/** The quantum to offer: on the channel offered last, if it is this seller's, one that leads above what was signed. */
export function quantumFor(
  { record, channel, channels }: Offered,
  client: Pick<SellerClient, "owns">,
  tariff: Tariff,
): number {
  const held = channels.filter(({ seller }) => client.owns(seller));
  held.sort((left, right) => right.revision - left.revision);
  const present = channel !== null && client.owns(channel.seller) ? channel : held[0];
  return chooseQuantum(
    tariff,
    record.wantedUnits,
    present === undefined ? 0 : present.signed - present.charged,
  );
}

/** Distance by ratio: half as long is as far off as twice as long. */
function distance(
  { pricePerMillionUnits }: Pick<Tariff, "pricePerMillionUnits">,
  quantumAtomic: number,
  wantedUnits: number,
): number {
  const units = Math.max(1, unitsForQuantum(quantumAtomic, pricePerMillionUnits));
  return Math.abs(Math.log(units / wantedUnits));
}

/** Who a channel is with, and whether the one there is can still be bought on. */
export interface Buyer {
  readonly device: DeviceRecord;
  readonly client: Pick<SellerClient, "name" | "owns">;
  /** The device walks a ladder of whole rungs. */
  readonly signsAhead: boolean;
  /** The seller will never charge what was signed on the present channel: take the next salt. */
  readonly leaves: boolean;
}

/**
 * The record of the channel that a quote leads to: the ledger's, or a new one. Nothing is stored yet.
 * Throws when the last salt is used up.
 */
export async function channelFor(
  parts: Pick<DepositParts, "ledger" | "treasury">,
  { device, client, signsAhead, leaves: isUnsaleable }: Buyer,
  quote: Quote,
  nowMs: number,
): Promise<ChannelRecord> {
  const { requirements, resource } = quote;
  const channels = await parts.ledger.channelsOf(device.device);
  const held: ChannelRecord[] = [];
  let free: Line | null = null;
  for (let salt = 0; salt < SALTS_MAX && free === null; salt++) {
    const line = lineOf(parts.treasury.address, device, requirements, salt);
    const known = channels.find(({ id }) => id === line.id);
    if (known === undefined) free = line;
    // Two sellers that are paid at one address have their counters apart, and two ways of deposits their nonces.
    else if (client.owns(known.seller) && isFundedAlike(known.requirements, requirements)) held.push(known);
  }
  // A device hears no offer that is not newer than all others.
  const newest = channels.reduce((max, known) => Math.max(max, known.revision), 0);
  const revision = Math.max(newest + 1, Math.floor(nowMs));
  const offered = { seller: client.name, resource, requirements, revision };
  // The one offered last; of rows that were written before there were revisions, the last salt.
  held.sort((left, right) => left.revision - right.revision);
  const present = held.pop();
  const leads = (channel: ChannelRecord) => channel.charged + Number(requirements.amount) > channel.signed;
  const isFit = (channel: ChannelRecord) =>
    leads(channel) && !(signsAhead && channel.signed > channel.charged);
  const leaves = isUnsaleable || (present !== undefined && !isFit(present));
  if (present !== undefined && !leaves) return { ...present, ...offered };
  if (leaves) {
    for (const left of held.reverse()) {
      const isOfThisPrice = left.requirements.amount === requirements.amount;
      // One that was emptied meanwhile may be about to be closed.
      const isFunded = left.config === null || left.balance >= left.charged + Number(requirements.amount);
      if (isOfThisPrice && isFunded && isFit(left)) return { ...left, ...offered };
    }
  }
  if (free === null) {
    throw new Watt402Error(
      "limit-reached",
      `device ${device.device} and seller ${client.name}: expected at most ${SALTS_MAX} channels, found them all used up`,
    );
  }
  const counters = { balance: 0, promised: 0, charged: 0, signed: 0, granted: 0 };
  return { ...free, device: device.device, ...offered, ...counters };
}

/** A channel at the price of what was signed on it last. */
export function pricedAt(channel: ChannelRecord, amountAtomic: number): ChannelRecord {
  return { ...channel, requirements: { ...channel.requirements, amount: String(amountAtomic) } };
}

/** The channel that a quote leads to, funded as far as the limits allow, and what Permit2 needs before it is paid from. */
export async function promisedChannel(
  parts: DepositParts,
  buyer: Buyer,
  quote: Quote,
): Promise<{ readonly channel: ChannelRecord; readonly need: ApprovalNeed }> {
  const found = await channelFor(parts, buyer, quote, parts.now() * 1000);
  const need = await approvalNeed(parts.chain, found, quote);
  return { channel: await promiseDeposit(parts, found, need), need };
}

/** Raises what the device may sign up to, when little of it is left and the limits allow. */
async function promiseDeposit(
  parts: DepositParts,
  channel: ChannelRecord,
  { allowanceAtomic, approval }: ApprovalNeed,
): Promise<ChannelRecord> {
  const ahead = channel.charged + PROMISE_AHEAD * Number(channel.requirements.amount);
  if (channel.config === null && approval === null && Number.isFinite(allowanceAtomic)) {
    const funded = await fundExact(parts, channel, ahead);
    return { ...funded, promised: Math.min(funded.promised, channel.charged + allowanceAtomic) };
  }
  if (channel.promised >= ahead) return channel;
  if (channel.config === null) return fundExact(parts, channel, ahead);
  if (channel.promised > channel.balance) return channel;
  return { ...channel, promised: channel.balance + (await depositSize(parts, channel)) };
}

/** Do the limits allow another deposit into a channel now? */
export async function mayPromise(parts: DepositParts, channel: ChannelRecord): Promise<boolean> {
  return (await depositSize(parts, channel)) > 0;
}

/**
 * Exact pays from the device's own wallet, so the money has to be there before it signs. What a contract in the token's
 * place holds for it was deposited there by its owner; of that, payments not settled on the chain yet are still counted.
 */
async function fundExact(parts: DepositParts, channel: ChannelRecord, ahead: number): Promise<ChannelRecord> {
  const { asset } = channel.requirements;
  const verifier = verifierOf(channel.requirements);
  if (verifier !== null) {
    const held = await parts.chain.heldBalance(verifier, asset, `0x${channel.device}`);
    return { ...channel, promised: channel.charged + held };
  }
  const wallet = await parts.chain.tokenBalance(asset, `0x${channel.device}`);
  const open = await openDeposit(parts.ledger, channel.id);
  const held = { ...channel, promised: channel.charged + wallet };
  if (!open && held.promised >= ahead) return held;
  const amount = await depositSize(parts, channel);
  const deposit = amount === 0 ? null : await intendDeposit(parts, channel, amount);
  if (deposit === null) return held;
  const funded = await fundWallet(parts, held, deposit);
  const after = await parts.chain.tokenBalance(asset, `0x${channel.device}`);
  return { ...funded, promised: funded.charged + after };
}

/**
 * The offer of a channel at its present counters.
 * @param isMetered its seller charges less than was signed
 */
export function offerOf(
  channel: ChannelRecord,
  tariff: Tariff,
  isMetered: boolean,
  approval: AskedApproval | null = null,
): OfferMessage {
  // The members that x402 names; a device takes no others, and what else a seller adds is echoed to it only.
  const { scheme, network, amount, asset, payTo, maxTimeoutSeconds, extra } = channel.requirements;
  return {
    v: 1,
    revision: channel.revision,
    resource: channel.resource,
    requirements: { scheme, network, amount, asset, payTo, maxTimeoutSeconds, extra },
    channel: channel.config,
    unit: tariff.unit,
    pricePerMillionUnits: tariff.pricePerMillionUnits,
    validUntilSeconds: tariff.validUntilSeconds,
    balance: channel.promised,
    charged: channel.charged,
    granted: channel.granted,
    ...(isMetered || channel.signed > channel.charged ? { metered: true } : {}),
    ...epochIn(channel),
    ...(approval === null ? {} : { approval }),
  };
}

/** What a device cannot compute: that an account is not the first. */
function epochIn({ id, config, device, requirements }: ChannelRecord): Pick<OfferMessage, "epoch"> {
  if (config !== null) return {};
  const chainId = chainIdOf(requirements.network);
  for (let epoch = 0; epoch < SALTS_MAX; epoch++) {
    if (exactIdOf(device, requirements, chainId, epoch) === id) return epoch === 0 ? {} : { epoch };
  }
  return {};
}

function isFundedAlike(known: OfferedRequirements, asked: OfferedRequirements): boolean {
  return depositMethodOf(known) === depositMethodOf(asked);
}

/** A channel's name, and the configuration it comes from; null for exact. */
type Line = Pick<ChannelRecord, "id" | "config">;

function lineOf(
  treasury: string,
  device: DeviceRecord,
  requirements: OfferedRequirements,
  salt: number,
): Line {
  const chainId = chainIdOf(requirements.network);
  if (requirements.scheme !== "batch-settlement") {
    return { id: exactIdOf(device.device, requirements, chainId, salt), config: null };
  }
  const config = configOf(treasury, device, requirements, salt);
  return { id: channelIdOf(config, chainId), config };
}

function configOf(
  treasury: string,
  device: DeviceRecord,
  requirements: OfferedRequirements,
  salt: number,
): ChannelConfig {
  const { receiverAuthorizer, withdrawDelay } = requirements.extra;
  if (typeof receiverAuthorizer !== "string" || typeof withdrawDelay !== "number") {
    throw new Watt402Error(
      "unexpected-answer",
      `payment requirements of ${requirements.payTo}: expected extra.receiverAuthorizer and extra.withdrawDelay ` +
        `for batch-settlement, found ${JSON.stringify(requirements.extra)}; offer "exact" from this seller instead`,
    );
  }
  return {
    payer: treasury,
    payerAuthorizer: `0x${device.device}`,
    receiver: requirements.payTo,
    receiverAuthorizer,
    token: requirements.asset,
    withdrawDelay,
    salt: toHex(wordOfInteger(salt)),
  };
}

function exactIdOf(
  device: string,
  requirements: OfferedRequirements,
  chainId: number,
  epoch: number,
): string {
  const verifier = verifierOf(requirements);
  const token = { chainId, address: requirements.asset, ...(verifier === null ? {} : { verifier }) };
  const method = transferMethodOf(requirements) ?? "eip3009";
  return exactAccountOf(`0x${device}`, requirements.payTo, token, epoch, method);
}
