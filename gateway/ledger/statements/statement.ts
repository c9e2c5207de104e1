/**
 * What one device bought in one month, as its owner reads it.
 *
 * Promise: every figure is a sum or a difference of ledger rows; months are UTC; money is given exactly, in the
 * token's configured symbol and decimals.
 */
import { Watt402Error } from "#payment/watt402-error";
import { isSameToken, type PaymentToken, tokenName } from "#protocol/payment-token";
import type { MoneySection } from "../../config/monitoring-section.ts";
import type { ChannelRecord, DepositRecord, PaymentRecord, UnknownOutcome } from "../../purchase/ports.ts";
import type { LedgerStore } from "../store.ts";

/** A device's counters at an edge of the month; null before its first payment. */
export interface Counters {
  readonly charged: number;
  readonly granted: number;
  readonly register: number;
}

interface ChannelStatement extends PaymentToken {
  readonly channel: string;
  readonly resource: string;
  readonly scheme: string;
  readonly opening: Counters | null;
  readonly closing: Counters | null;
  readonly purchases: number;
  readonly spentAtomic: number;
  readonly grantedUnits: number;
  readonly depositedAtomic: number;
  /** A payment that is neither paid nor unpaid, as far as is known: it is in no sum. */
  readonly unknown: UnknownOutcome | null;
  /** By price, lowest first. */
  readonly prices: readonly PriceLine[];
}

interface PriceLine {
  readonly pricePerMillionUnits: number;
  readonly purchases: number;
  readonly spentAtomic: number;
}

interface TokenSum extends PaymentToken {
  readonly spentAtomic: number;
}

export interface Statement {
  readonly device: string;
  readonly model: string;
  readonly unit: string;
  /** "2026-11" */
  readonly month: string;
  readonly purchases: number;
  /** Null when it paid in several tokens: amounts of different tokens make no sum. */
  readonly spentAtomic: number | null;
  readonly spent: readonly TokenSum[];
  readonly grantedUnits: number;
  /** By the meter's register, from the last payment before the month to the last one in it. */
  readonly consumedUnits: number;
  readonly channels: readonly ChannelStatement[];
}

/** @param month "YYYY-MM" Rejects when the ledger does not know the device. */
export async function statementOf(ledger: LedgerStore, device: string, month: string): Promise<Statement> {
  const { fromSeconds, toSeconds } = monthOf(month);
  const record = await ledger.device(device);
  if (record === null)
    throw new Watt402Error("not-found", `device ${device}: expected one that the ledger knows, found none`);
  const channels: ChannelStatement[] = [];
  const registers: number[] = [];
  for (const channel of await ledger.channelsOf(device)) {
    const { statement, firstRegister } = await channelStatement(ledger, channel, fromSeconds, toSeconds);
    channels.push(statement);
    if (statement.closing === null) continue;
    registers.push(statement.closing.register, statement.opening?.register ?? firstRegister);
  }
  const sum = (pick: (channel: ChannelStatement) => number) =>
    channels.reduce((total, channel) => total + pick(channel), 0);
  const spent = spentIn(channels);
  return {
    device,
    model: record.model,
    unit: record.unit,
    month,
    purchases: sum(({ purchases }) => purchases),
    spentAtomic: spent.length > 1 ? null : (spent[0]?.spentAtomic ?? 0),
    spent,
    grantedUnits: sum(({ grantedUnits }) => grantedUnits),
    consumedUnits: registers.length === 0 ? 0 : Math.max(...registers) - Math.min(...registers),
    channels,
  };
}

/** One sum for each token. */
function spentIn(channels: readonly ChannelStatement[]): TokenSum[] {
  const sums = new Map<string, TokenSum>();
  for (const { network, asset, spentAtomic } of channels) {
    const name = tokenName({ network, asset });
    const before = sums.get(name)?.spentAtomic ?? 0;
    sums.set(name, { network, asset, spentAtomic: before + spentAtomic });
  }
  return [...sums.values()];
}

async function channelStatement(
  ledger: LedgerStore,
  channel: ChannelRecord,
  fromSeconds: number,
  toSeconds: number,
): Promise<{ readonly statement: ChannelStatement; readonly firstRegister: number }> {
  let before: PaymentRecord | null = null;
  let first: PaymentRecord | null = null;
  let last: PaymentRecord | null = null;
  let purchases = 0;
  let spentAtomic = 0;
  const prices = new Map<number, { purchases: number; spentAtomic: number }>();
  for await (const payment of ledger.payments({ channelId: channel.id, toSeconds })) {
    if (payment.atSeconds < fromSeconds) {
      before = payment;
      continue;
    }
    first ??= payment;
    last = payment;
    purchases += 1;
    spentAtomic += payment.amountAtomic;
    const line = prices.get(payment.pricePerMillionUnits) ?? { purchases: 0, spentAtomic: 0 };
    line.purchases += 1;
    line.spentAtomic += payment.amountAtomic;
    prices.set(payment.pricePerMillionUnits, line);
  }
  const deposits = await ledger.deposits(channel.id);
  const isInMonth = ({ state, atSeconds }: DepositRecord) =>
    state === "confirmed" && atSeconds >= fromSeconds && atSeconds <= toSeconds;
  const statement: ChannelStatement = {
    channel: channel.id,
    resource: channel.resource,
    scheme: channel.requirements.scheme,
    network: channel.requirements.network,
    asset: channel.requirements.asset,
    unknown: channel.unknown ?? null,
    opening: countersOf(before),
    closing: countersOf(last ?? before),
    purchases,
    spentAtomic,
    grantedUnits:
      (last ?? before)?.granted === undefined ? 0 : (last ?? before)!.granted - (before?.granted ?? 0),
    depositedAtomic: deposits.filter(isInMonth).reduce((total, { amountAtomic }) => total + amountAtomic, 0),
    prices: [...prices]
      .sort(([left], [right]) => left - right)
      .map(([pricePerMillionUnits, line]) => ({ pricePerMillionUnits, ...line })),
  };
  return { statement, firstRegister: first?.register ?? 0 };
}

function countersOf(payment: PaymentRecord | null): Counters | null {
  return payment && { charged: payment.charged, granted: payment.granted, register: payment.register };
}

/** First and last second of a month, UTC. Throws on another form. */
function monthOf(month: string): { readonly fromSeconds: number; readonly toSeconds: number } {
  const [, year, number] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(month) ?? [];
  if (year === undefined)
    throw new Watt402Error("value-invalid", `--month: expected YYYY-MM, found "${month.slice(0, 20)}"`);
  const startMs = Date.UTC(Number(year), Number(number) - 1);
  return { fromSeconds: startMs / 1000, toSeconds: Date.UTC(Number(year), Number(number)) / 1000 - 1 };
}

/** A token, and how its amounts are written. */
type WrittenToken = PaymentToken & MoneySection;

/** The statement as a page of text. @param tokens those that the configuration names */
export function statementText(statement: Statement, tokens: readonly WrittenToken[]): string {
  const { unit } = statement;
  const isOneToken = statement.spent.length <= 1;
  const energy = (units: number) => (unit === "mWh" ? `${(units / 1e6).toFixed(6)} kWh` : `${units} ${unit}`);
  const price = (perMillion: number, token: PaymentToken) => {
    const money = moneyText(perMillion, token, tokens);
    return unit === "mWh" ? `${money}/kWh` : `${money} per million ${unit}`;
  };
  const lines = [
    `Statement for device ${statement.device} (${statement.model}), ${statement.month} (UTC)`,
    "",
    `  purchases   ${statement.purchases}`,
    ...(statement.spent.length === 0 ? ["  spent       0"] : []),
    ...statement.spent.map(
      (sum) =>
        `  spent       ${moneyText(sum.spentAtomic, sum, tokens)} (${sum.spentAtomic} atomic units` +
        `${isOneToken ? "" : ` of ${tokenName(sum)}`})`,
    ),
    `  bought      ${energy(statement.grantedUnits)}`,
    `  consumed    ${energy(statement.consumedUnits)} by the meter's register`,
  ];
  for (const channel of statement.channels) {
    const edge = (name: string, counters: Counters | null) =>
      counters === null
        ? `    ${name}  nothing yet`
        : `    ${name}  charged ${counters.charged}, granted ${counters.granted}, register ${counters.register}`;
    lines.push(
      "",
      `  ${channel.scheme} ${channel.channel}`,
      `    of       ${channel.resource}`,
      edge("opening", channel.opening),
      edge("closing", channel.closing),
      ...(isOneToken ? [] : [`    in       ${tokenName(channel)}`]),
      ...unknownLines(channel),
      `    deposited ${moneyText(channel.depositedAtomic, channel, tokens)}`,
    );
    for (const line of channel.prices) {
      lines.push(
        `    ${line.purchases} purchases at ${price(line.pricePerMillionUnits, channel)}: ` +
          moneyText(line.spentAtomic, channel, tokens),
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

function unknownLines({ unknown }: ChannelStatement): string[] {
  if (unknown === null) return [];
  const since = new Date(unknown.sinceSeconds * 1000).toISOString();
  return [`    not known since ${since} whether ${unknown.maxClaimable} was charged; it is in no sum`];
}

/** Digit by digit: a token of 18 decimals has more of them than a division would keep. Dollars, as the dashboard has them. */
function moneyText(atomic: number, token: PaymentToken, tokens: readonly WrittenToken[]): string {
  const written = tokens.find((one) => isSameToken(one, token));
  if (written === undefined) return `${atomic} atomic units of ${tokenName(token)}`;
  const { symbol, decimals } = written;
  const digits = String(atomic).padStart(decimals + 1, "0");
  const wholeDigits = digits.length - decimals;
  const fraction = decimals === 0 ? "" : `.${digits.slice(wholeDigits)}`;
  const value = `${digits.slice(0, wholeDigits)}${fraction}`;
  return symbol === "USDC" ? `$${value}` : `${value} ${symbol}`;
}
