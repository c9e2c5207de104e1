/**
 * `watt402-gateway channels`: the deposits, and getting them back.
 *
 * Promise: may run beside the gateway, on its ledger; whatever is sent was stored before, and running a
 * command again takes up what was cut off.
 */

import { Command } from "commander";
import { Watt402Error } from "#payment/watt402-error";
import { isSameToken, tokenName } from "#protocol/payment-token";
import type { LoadedConfig } from "../config/layers.ts";
import type { LedgerStore } from "../ledger/store.ts";
import { nextDepositAtomic } from "../purchase/funding.ts";
import type { ChannelRecord } from "../purchase/ports.ts";
import { refusalIn } from "../sellers/client/seller-http.ts";
import { openSellerHttp, readAuthorities, refundUrl, sellerOf } from "../sellers/open-router.ts";
import { escrowOn } from "../treasury/escrow.ts";
import { connectChains } from "../treasury/open-chains.ts";
import { openTreasury } from "../treasury/open-treasury.ts";
import { deviceIn, withLedger } from "./ledger.ts";
import {
  type EscrowedChannel,
  isEscrowed,
  refund,
  type WithdrawalParts,
  type Withdrawn,
  withdraw,
} from "./withdrawal.ts";

export function channelsCommand(load: () => LoadedConfig): Command {
  const channels = new Command("channels");
  channels
    .command("list")
    .description("every channel with what it holds, in atomic units")
    .option("--json", "as one JSON document")
    .action((options: { json?: true }) =>
      withLedger(load, async (ledger) => {
        const all = await Promise.all((await ledger.channels()).map((channel) => describe(ledger, channel)));
        process.stdout.write(options.json ? `${JSON.stringify(all, null, 2)}\n` : table(all));
      }),
    );
  channels
    .command("top-up")
    .description("promise a device its next deposit now, within the limits; it is made when it is needed")
    .argument("<device>", "its address")
    .action((device: string) =>
      withLedger(load, async (ledger, { config }) => {
        for (const channel of await escrowedOf(ledger, deviceIn(device))) {
          const limits = config.tokens.find((token) => isSameToken(token, channel.requirements));
          if (limits === undefined) throw unnamedToken(channel);
          // Whom an operator names is no stranger.
          const parts = { ledger, limits, isEnrolled: () => true };
          const amount = await nextDepositAtomic(parts, channel, Date.now() / 1000);
          if (amount === 0) {
            throw new Watt402Error(
              "limit-reached",
              `channel ${channel.id}: the treasury's limits allow no deposit now`,
            );
          }
          const promised = channel.balance + amount;
          if (promised <= channel.promised) {
            process.stdout.write(`${channel.id}: ${channel.promised} is promised already\n`);
            continue;
          }
          await ledger.saveChannel({ ...channel, promised });
          process.stdout.write(
            `${channel.id}: promised up to ${promised}; the device hears of it with its next offer\n`,
          );
        }
      }),
    );
  channels
    .command("close")
    .description("ask the seller to refund what a device has not spent; it may go on buying by a new deposit")
    .argument("<device>", "its address")
    .option("--seller <name>", "of its channels with this seller only")
    .action((device: string, { seller: only }: OfSeller) =>
      withEscrow(load, deviceIn(device), only, async (parts, channel, { config }) => {
        const seller = sellerOf(config.sellers, channel);
        if (seller === undefined) {
          const reason = `the configuration names no seller "${channel.seller}"; take it back by withdraw`;
          return { kind: "nothing", reason };
        }
        const http = openSellerHttp(seller, config.limits, readAuthorities([seller]));
        const method = seller.kind === "electricity" ? "POST" : seller.method;
        try {
          return await refund(parts, channel, async (payload) => {
            const answer = await http.call(method, refundUrl(seller, channel), payload);
            if (answer.kind === "paid") return null;
            if (answer.kind === "refused") return refusalIn(answer);
            return answer.kind === "unavailable" ? answer.reason : answer.error;
          });
        } finally {
          await http.close();
        }
      }),
    );
  channels
    .command("withdraw")
    .description("take back what a device has not spent, without the seller: begins, or ends after the delay")
    .argument("<device>", "its address")
    .option("--seller <name>", "of its channels with this seller only")
    .action((device: string, { seller }: OfSeller) => withEscrow(load, deviceIn(device), seller, withdraw));
  return channels;
}

interface OfSeller {
  readonly seller?: string;
}

async function withEscrow(
  load: () => LoadedConfig,
  device: string,
  seller: string | undefined,
  work: (parts: WithdrawalParts, channel: EscrowedChannel, loaded: LoadedConfig) => Promise<Withdrawn>,
): Promise<void> {
  await withLedger(load, async (ledger, loaded) => {
    const { config } = loaded;
    const treasury = await openTreasury(config.treasury, false);
    const connections = connectChains(config.chains, treasury);
    const channels = await escrowedOf(ledger, device);
    for (const channel of channels.filter((one) => seller === undefined || one.seller === seller)) {
      const connection = connections.get(channel.requirements.network);
      if (connection === undefined) throw unnamedToken(channel);
      const parts = { ledger, escrow: escrowOn(connection), now: () => Date.now() / 1000 };
      const done = await work(parts, channel, loaded);
      process.stdout.write(`${channel.id}: ${sentenceOf(done)}\n`);
      if (done.kind === "nothing") process.exitCode = 1;
    }
  });
}

function unnamedToken({ id, requirements }: ChannelRecord): Watt402Error {
  return new Watt402Error(
    "config-invalid",
    `channel ${id}: expected a seller that is paid in ${tokenName(requirements)}, and its chain, in the ` +
      "configuration, found none; name them as they were",
  );
}

function sentenceOf(done: Withdrawn): string {
  if (done.kind === "finalized") return `${done.amountAtomic} atomic units are back in the treasury`;
  if (done.kind === "nothing") return `nothing was taken back: ${done.reason}`;
  const ready = new Date(done.readyAtSeconds * 1000).toISOString();
  return `${done.amountAtomic} atomic units are on their way; run this again after ${ready}`;
}

async function escrowedOf(ledger: LedgerStore, device: string): Promise<EscrowedChannel[]> {
  const channels = (await ledger.channelsOf(device)).filter(isEscrowed);
  if (channels.length === 0) {
    throw new Watt402Error(
      "not-found",
      `device ${device}: expected a channel of batch-settlement in the ledger, found none`,
    );
  }
  return channels;
}

interface Described {
  readonly device: string;
  readonly channel: string;
  readonly seller: string;
  readonly scheme: string;
  readonly network: string;
  readonly asset: string;
  readonly balance: number;
  readonly promised: number;
  readonly charged: number;
  readonly left: number;
  readonly withdrawing: number;
  /** The rung whose outcome is not known, cumulative; null when there is none. */
  readonly unknown: number | null;
}

async function describe(ledger: LedgerStore, channel: ChannelRecord): Promise<Described> {
  const { device, id, seller, balance, promised, charged, requirements } = channel;
  const withdrawing = (await ledger.withdrawals(id))
    .filter(({ state }) => state === "initiated")
    .reduce((sum, { amountAtomic }) => sum + amountAtomic, 0);
  const left = balance - charged;
  return {
    device,
    channel: id,
    seller,
    scheme: requirements.scheme,
    network: requirements.network,
    asset: requirements.asset,
    balance,
    promised,
    charged,
    left,
    withdrawing,
    unknown: channel.unknown?.maxClaimable ?? null,
  };
}

function table(channels: readonly Described[]): string {
  const names = [
    "device",
    "channel",
    "seller",
    "scheme",
    "balance",
    "promised",
    "charged",
    "left",
    "withdrawing",
    "unknown",
    "network",
    "asset",
  ] as const;
  const rows = [
    names.map(String),
    ...channels.map((channel) => names.map((name) => String(channel[name] ?? "-"))),
  ];
  const widths = names.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => `${row.map((text, column) => text.padEnd(widths[column]!)).join("  ")}`.trimEnd())
    .map((line) => `${line}\n`)
    .join("");
}
