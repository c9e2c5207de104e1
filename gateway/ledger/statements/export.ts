/**
 * The ledger's payments as text for other programs: CSV (RFC 4180) or one JSON object a line.
 *
 * Promise: one line a payment, every counter as it was recorded, in memory one page at a time.
 */
import type { ChannelRecord, PaymentRecord } from "../../purchase/ports.ts";
import type { LedgerStore } from "../store.ts";

interface ExportFilter {
  /** 40 lower-case hex digits; null: all devices. */
  readonly device: string | null;
  readonly fromSeconds: number;
  readonly toSeconds: number;
}

const COLUMNS = [
  "time",
  "device",
  "channel",
  "seller",
  "resource",
  "scheme",
  "network",
  "asset",
  "amountAtomic",
  "maxClaimable",
  "charged",
  "granted",
  "unit",
  "pricePerMillionUnits",
  "register",
  "signature",
  "transaction",
] as const;

type Line = Readonly<Record<(typeof COLUMNS)[number], string | number>>;

/** Lines without their ends; CSV begins with the names of its columns. */
export async function* exportLines(
  ledger: LedgerStore,
  format: "csv" | "jsonl",
  filter: ExportFilter,
): AsyncIterable<string> {
  if (format === "csv") yield COLUMNS.join(",");
  const { fromSeconds, toSeconds } = filter;
  for (const channel of await ledger.channels()) {
    if (filter.device !== null && channel.device !== filter.device) continue;
    const unit = (await ledger.device(channel.device))?.unit ?? "";
    for await (const payment of ledger.payments({ channelId: channel.id, fromSeconds, toSeconds })) {
      const line = lineOf(channel, unit, payment);
      yield format === "csv" ? COLUMNS.map((name) => cell(line[name])).join(",") : JSON.stringify(line);
    }
  }
}

function lineOf(channel: ChannelRecord, unit: string, payment: PaymentRecord): Line {
  const { scheme, network, asset } = channel.requirements;
  return {
    time: new Date(payment.atSeconds * 1000).toISOString(),
    device: channel.device,
    channel: channel.id,
    seller: channel.seller,
    resource: channel.resource,
    scheme,
    network,
    asset,
    amountAtomic: payment.amountAtomic,
    maxClaimable: payment.maxClaimable,
    charged: payment.charged,
    granted: payment.granted,
    unit,
    pricePerMillionUnits: payment.pricePerMillionUnits,
    register: payment.register,
    signature: payment.signature,
    transaction: payment.transaction,
  };
}

/** Text that a table program would take for a formula is shown as text. */
function cell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
