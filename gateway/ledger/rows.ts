/**
 * Ledger records as rows of a table, the same in every database.
 *
 * Promise: what is written as a record is read back as that record; integers stay below 2^53.
 */
import type { ReceiptDue } from "#market/documents";
import { parseJson } from "#protocol/nesting";
import { tokenName } from "#protocol/payment-token";
import type { EnrolmentRecord } from "../enrolment/enrolment.ts";
import type {
  ChannelKey,
  ChannelRecord,
  DepositRecord,
  DepositTotals,
  DeviceRecord,
  OverdueDeposit,
  PaymentRecord,
} from "../purchase/ports.ts";
import type { WithdrawalRecord } from "./store.ts";

export type Row = Readonly<Record<string, unknown>>;
export type Cell = string | number | null;

/** Columns in the order in which the row functions below give their cells. */
export const COLUMNS = {
  device: ["device", "public_key", "model", "firmware", "meter", "unit", "wanted_units", "pays", "payee"],
  channel: [
    "id",
    "device",
    "resource",
    "requirements",
    "config",
    "promised",
    "charged",
    "granted",
    "revision",
    "seller",
  ],
  payment: [
    "channel_id",
    "max_claimable",
    "amount",
    "charged",
    "granted",
    "price",
    "register",
    "signature",
    "tx",
    "at_seconds",
  ],
  deposit: [
    "channel_id",
    "idx",
    "amount",
    "valid_before",
    "signature",
    "state",
    "at_seconds",
    "newcomer",
    "token",
  ],
  withdrawal: ["channel_id", "idx", "kind", "amount", "state", "tx", "at_seconds"],
} as const;

export function deviceRow(record: DeviceRecord): Cell[] {
  const { device, publicKey, model, firmware, meter, unit, wantedUnits, pays, payee } = record;
  return [device, publicKey, model, firmware, meter, unit, wantedUnits, pays, payee];
}

export function deviceIn(row: Row): DeviceRecord {
  return {
    device: row.device as string,
    publicKey: row.public_key as string,
    model: row.model as string,
    firmware: row.firmware as string,
    meter: row.meter as string,
    unit: row.unit as string,
    wantedUnits: row.wanted_units as number,
    pays: row.pays as string,
    payee: row.payee as string,
  };
}

/** Balance and `signed` are no columns: they are derived from deposits, withdrawals and payments. */
export function channelRow(record: ChannelRecord): Cell[] {
  const { id, device, resource, requirements, config, promised, charged, granted, revision, seller } = record;
  const texts = [JSON.stringify(requirements), config && JSON.stringify(config)];
  return [id, device, resource, ...texts, promised, charged, granted, revision, seller];
}

export function channelIn(row: Row): ChannelRecord {
  return {
    id: row.id as string,
    device: row.device as string,
    seller: row.seller as string,
    resource: row.resource as string,
    requirements: parseJson(row.requirements as string) as ChannelRecord["requirements"],
    config: row.config === null ? null : (parseJson(row.config as string) as ChannelRecord["config"]),
    balance: row.balance as number,
    promised: row.promised as number,
    charged: row.charged as number,
    signed: Math.max(row.charged as number, Number(row.signed ?? 0)),
    granted: row.granted as number,
    revision: row.revision as number,
    ...(row.unknown_claim == null
      ? {}
      : {
          unknown: {
            maxClaimable: row.unknown_claim as number,
            sinceSeconds: row.unknown_since as number,
          },
        }),
  };
}

export function paymentRow(record: PaymentRecord): Cell[] {
  const { channelId, maxClaimable, amountAtomic, charged, granted, pricePerMillionUnits } = record;
  const { register, signature, transaction, atSeconds } = record;
  const counters = [maxClaimable, amountAtomic, charged, granted, pricePerMillionUnits, register];
  return [channelId, ...counters, signature, transaction, atSeconds];
}

export function paymentIn(row: Row): PaymentRecord {
  return {
    channelId: row.channel_id as string,
    maxClaimable: row.max_claimable as number,
    amountAtomic: row.amount as number,
    charged: row.charged as number,
    granted: row.granted as number,
    pricePerMillionUnits: row.price as number,
    register: row.register as number,
    signature: row.signature as string,
    transaction: row.tx as string,
    atSeconds: row.at_seconds as number,
  };
}

export function depositRow(record: DepositRecord): Cell[] {
  const { channelId, index, amountAtomic, validBeforeSeconds, signature, state, atSeconds } = record;
  const about = [signature, state, atSeconds, record.isNewcomer ? 1 : 0, record.token];
  return [channelId, index, amountAtomic, validBeforeSeconds, ...about];
}

export function depositIn(row: Row): DepositRecord {
  return {
    channelId: row.channel_id as string,
    index: row.idx as number,
    amountAtomic: row.amount as number,
    validBeforeSeconds: row.valid_before as number,
    signature: row.signature as string,
    state: row.state as DepositRecord["state"],
    atSeconds: row.at_seconds as number,
    isNewcomer: row.newcomer === 1,
    token: row.token as string,
  };
}

/** Of a deposit beside its channel. */
export function overdueIn(row: Row): OverdueDeposit {
  const deposit = depositIn(row);
  const requirements = parseJson(row.requirements as string) as ChannelRecord["requirements"];
  return { deposit, channel: { id: deposit.channelId, device: row.device as string, requirements } };
}

export function receiptDueIn(row: Row): ReceiptDue {
  const { payTo } = parseJson(row.requirements as string) as ChannelRecord["requirements"];
  return {
    channelId: row.channel_id as string,
    device: row.device as string,
    seller: row.seller as string,
    payTo,
    register: Number(row.register),
  };
}

/** Parameters of `READS.totals`. */
export function totalsCells({ id, device, requirements }: ChannelKey, daySinceSeconds: number): Cell[] {
  const since = Math.floor(daySinceSeconds);
  const token = tokenName(requirements);
  return [id, token, since, token, id, device, since, token, token, since, token];
}

export function totalsIn(row: Row): DepositTotals {
  return {
    channelAtomic: row.channel as number,
    deviceDayAtomic: row.device_day as number,
    fleetDayAtomic: row.fleet_day as number,
    fleetAtomic: row.fleet as number,
    newcomersDayAtomic: row.newcomers_day as number,
  };
}

export function withdrawalRow(record: WithdrawalRecord): Cell[] {
  const { channelId, index, kind, amountAtomic, state, transaction, atSeconds } = record;
  return [channelId, index, kind, amountAtomic, state, transaction, atSeconds];
}

export function withdrawalIn(row: Row): WithdrawalRecord {
  return {
    channelId: row.channel_id as string,
    index: row.idx as number,
    kind: row.kind as WithdrawalRecord["kind"],
    amountAtomic: row.amount as number,
    state: row.state as WithdrawalRecord["state"],
    transaction: row.tx as string,
    atSeconds: row.at_seconds as number,
  };
}

export function enrolmentIn(row: Row): EnrolmentRecord {
  return {
    device: row.device as string,
    state: row.state as EnrolmentRecord["state"],
    askedSeconds: row.asked_at as number,
    decidedSeconds: row.decided_at as number,
    revision: row.revision as number,
  };
}
