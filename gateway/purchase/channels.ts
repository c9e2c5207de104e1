/**
 * Which channel a device buys on, and the offer that tells it.
 *
 * Promise: one channel per device, seller and token, recomputed from its configuration and never reused
 * for another; an offer promises no more deposit than the treasury's limits allow.
 */
import { unitsForQuantum } from "#core/units";
import { exactAccountOf } from "#payment/authorization";
import { channelIdOf } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import type { ChannelConfig, OfferedRequirements, OfferMessage } from "#protocol/messages";
import { fundWallet, intendDeposit, openDeposit } from "./deposit.ts";
import { nextDepositAtomic } from "./funding.ts";
import type { ChannelRecord, DeviceRecord, Quote, Tariff } from "./ports.ts";
import type { PurchaseParts } from "./purchase.ts";

/** Salt of a device's channel with a seller; another salt would be another channel. */
const CHANNEL_SALT = `0x${"0".repeat(64)}`;

/** Purchases left in the promised balance below which the next deposit is promised. */
const PROMISE_AHEAD = 8;

const EXACT_EPOCH = 0;

/** The quantum on the menu that comes nearest to what the device wants one purchase to last. */
export function chooseQuantum(tariff: Tariff, wantedUnits: number): number {
  let best = tariff.menu[0]!;
  for (const quantum of tariff.menu) {
    if (distance(tariff, quantum, wantedUnits) < distance(tariff, best, wantedUnits)) best = quantum;
  }
  return best;
}

/** Distance by ratio: half as long is as far off as twice as long. */
function distance(tariff: Tariff, quantumAtomic: number, wantedUnits: number): number {
  const units = Math.max(1, unitsForQuantum(quantumAtomic, tariff.pricePerMillionUnits));
  return Math.abs(Math.log(units / wantedUnits));
}

/** The record of the channel that a quote leads to: the ledger's, or a new one. Nothing is stored yet. */
export async function channelFor(
  parts: PurchaseParts,
  device: DeviceRecord,
  quote: Quote,
  nowMs: number,
): Promise<ChannelRecord> {
  const { requirements, resource } = quote;
  const config =
    requirements.scheme === "exact" ? null : configOf(parts.treasury.address, device, requirements);
  const chainId = chainIdOf(requirements.network);
  const id = config === null ? exactIdOf(device, requirements, chainId) : channelIdOf(config, chainId);
  const known = (await parts.ledger.channelsOf(device.device)).find((channel) => channel.id === id);
  const fresh = {
    id,
    device: device.device,
    config,
    balance: 0,
    promised: 0,
    charged: 0,
    granted: 0,
    revision: 0,
  };
  const record = known ?? { ...fresh, resource, requirements };
  return { ...record, resource, requirements, revision: Math.max(record.revision + 1, Math.floor(nowMs)) };
}

/** Raises what the device may sign up to, when little of it is left and the limits allow. */
export async function promiseDeposit(parts: PurchaseParts, channel: ChannelRecord): Promise<ChannelRecord> {
  const ahead = channel.charged + PROMISE_AHEAD * Number(channel.requirements.amount);
  if (channel.promised >= ahead) return channel;
  if (channel.config === null) return fundExact(parts, channel, ahead);
  if (channel.promised > channel.balance) return channel;
  return { ...channel, promised: channel.balance + (await depositSize(parts, channel)) };
}

/** Do the limits allow another deposit into a channel now? */
export async function mayPromise(parts: PurchaseParts, channel: ChannelRecord): Promise<boolean> {
  return (await depositSize(parts, channel)) > 0;
}

/** Exact pays from the device's own wallet, so the money has to be there before it signs. */
async function fundExact(
  parts: PurchaseParts,
  channel: ChannelRecord,
  ahead: number,
): Promise<ChannelRecord> {
  const { asset } = channel.requirements;
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

/** The offer of a channel as it stands. */
export function offerOf(channel: ChannelRecord, tariff: Tariff): OfferMessage {
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
  };
}

/** Of the deposit under way, or of the next one; 0 when the limits allow none. */
async function depositSize(parts: PurchaseParts, channel: ChannelRecord): Promise<number> {
  const open = await openDeposit(parts.ledger, channel.id);
  return open?.amountAtomic ?? nextDepositAtomic(parts.limits, parts.ledger, channel, parts.now());
}

function configOf(treasury: string, device: DeviceRecord, requirements: OfferedRequirements): ChannelConfig {
  const { receiverAuthorizer, withdrawDelay } = requirements.extra;
  if (typeof receiverAuthorizer !== "string" || typeof withdrawDelay !== "number") {
    throw new Error(
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
    salt: CHANNEL_SALT,
  };
}

function exactIdOf(device: DeviceRecord, requirements: OfferedRequirements, chainId: number): string {
  const token = {
    chainId,
    address: requirements.asset,
    name: String(requirements.extra.name),
    version: String(requirements.extra.version),
  };
  return exactAccountOf(`0x${device.device}`, requirements.payTo, token, EXACT_EPOCH);
}
