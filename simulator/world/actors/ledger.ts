/**
 * The gateway's ledger on simulated tables.
 *
 * Promise: as the SQLite ledger: a payment is keyed by its money and stays as it was first recorded, a
 * channel's counters only rise, its balance is the sum of its confirmed deposits.
 */
import { type CountedDeposit, totalsOf } from "#gateway/purchase/funding";
import type {
  ChannelKey,
  ChannelRecord,
  DepositRecord,
  DepositTotals,
  DeviceRecord,
  Ledger,
  OverdueDeposit,
  PaymentRecord,
  UnknownOutcome,
} from "#gateway/purchase/ports";
import type { PaymentToken } from "#protocol/payment-token";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { Tables } from "../engine/tables.ts";

export class SimulatedLedger implements Ledger {
  readonly #tables: Tables;
  readonly #life: ProcessLifetime;
  readonly #touched: () => void;

  /** @param touched called for every write asked for */
  constructor(tables: Tables, life: ProcessLifetime, touched: () => void) {
    this.#tables = tables;
    this.#life = life;
    this.#touched = touched;
  }

  device(device: string): DeviceRecord | null {
    return this.#tables.get<DeviceRecord>("device", device) ?? null;
  }

  saveDevice(record: DeviceRecord): Promise<void> {
    return this.#commit(() => this.#tables.put("device", record.device, record));
  }

  channelsOf(device: string): ChannelRecord[] {
    return this.#channelIdsOf(device).map((id) => ({
      ...this.#tables.get<ChannelRecord>("channel", id)!,
      balance: this.balanceOf(id),
      ...this.#unknownOf(id),
    }));
  }

  #unknownOf(channelId: string): Pick<ChannelRecord, "unknown"> {
    const unknown = this.#tables.get<UnknownOutcome | null>("unknown", channelId) ?? null;
    return unknown === null ? {} : { unknown };
  }

  saveChannel(record: ChannelRecord): Promise<void> {
    return this.#commit(() => this.#putChannel(record));
  }

  payment(channelId: string, maxClaimable: number): PaymentRecord | null {
    return this.#tables.get<PaymentRecord>("payment", paymentKey(channelId, maxClaimable)) ?? null;
  }

  paymentsAfter(channelId: string, charged: number, limit: number): PaymentRecord[] {
    const after: PaymentRecord[] = [];
    for (const payment of this.#tables.rows<PaymentRecord>("payment")) {
      if (payment.channelId === channelId && payment.maxClaimable > charged) after.push(payment);
    }
    return after.sort((left, right) => left.maxClaimable - right.maxClaimable).slice(0, limit);
  }

  recordPayment(payment: PaymentRecord, channel: ChannelRecord): Promise<void> {
    return this.#commit(() => {
      const key = paymentKey(payment.channelId, payment.maxClaimable);
      if (this.#tables.get("payment", key) === undefined) this.#tables.put("payment", key, payment);
      this.#putChannel(channel);
    });
  }

  deposits(channelId: string): readonly DepositRecord[] {
    return this.#tables.get<readonly DepositRecord[]>("deposits", channelId) ?? [];
  }

  balanceOf(channelId: string): number {
    let balance = 0;
    for (const { state, amountAtomic } of this.deposits(channelId)) {
      if (state === "confirmed") balance += amountAtomic;
    }
    return balance;
  }

  depositTotals({ id, device, requirements }: ChannelKey, daySinceSeconds: number): DepositTotals {
    return totalsOf(this.#counted(id, this.#channelIdsOf(device)), daySinceSeconds, requirements);
  }

  overdueDeposits(_token: PaymentToken, nowSeconds: number, limit: number): OverdueDeposit[] {
    const overdue: OverdueDeposit[] = [];
    for (const deposits of this.#tables.rows<readonly DepositRecord[]>("deposits")) {
      for (const deposit of deposits) {
        if (deposit.state !== "intended" || deposit.validBeforeSeconds > nowSeconds) continue;
        const { id, device, requirements } = this.#tables.get<ChannelRecord>("channel", deposit.channelId)!;
        overdue.push({ deposit, channel: { id, device, requirements } });
      }
    }
    overdue.sort((left, right) => left.deposit.validBeforeSeconds - right.deposit.validBeforeSeconds);
    return overdue.slice(0, limit);
  }

  async intendDeposit(
    channel: ChannelKey,
    index: number,
    daySinceSeconds: number,
    decide: (known: DepositRecord | null, totals: DepositTotals) => DepositRecord | null,
  ): Promise<DepositRecord | null> {
    this.#touched();
    return this.#tables.commit(this.#life, () => {
      const known = this.deposits(channel.id).find((deposit) => deposit.index === index) ?? null;
      const decided = decide(known, this.depositTotals(channel, daySinceSeconds));
      if (decided !== null && decided !== known) this.#putDeposit(decided);
      return decided;
    });
  }

  saveUnknown(channelId: string, unknown: UnknownOutcome | null): Promise<void> {
    return this.#commit(() => this.#tables.put("unknown", channelId, unknown));
  }

  /** Sellers of the world sign nothing. */
  saveDocument(): Promise<void> {
    return Promise.resolve();
  }

  saveDeposit(record: DepositRecord): Promise<void> {
    return this.#commit(() => this.#putDeposit(record));
  }

  #commit(work: () => void): Promise<void> {
    this.#touched();
    return this.#tables.commit(this.#life, work);
  }

  #channelIdsOf(device: string): readonly string[] {
    return this.#tables.get<readonly string[]>("channels", device) ?? [];
  }

  #putChannel(record: ChannelRecord): void {
    const known = this.#tables.get<ChannelRecord>("channel", record.id);
    const raised = {
      ...record,
      promised: Math.max(record.promised, known?.promised ?? 0),
      charged: Math.max(record.charged, known?.charged ?? 0),
      signed: Math.max(record.signed, known?.signed ?? 0),
      granted: Math.max(record.granted, known?.granted ?? 0),
      revision: Math.max(record.revision, known?.revision ?? 0),
    };
    this.#tables.put("channel", record.id, raised);
    const ids = this.#channelIdsOf(record.device);
    if (!ids.includes(record.id)) this.#tables.put("channels", record.device, [...ids, record.id]);
  }

  #putDeposit(record: DepositRecord): void {
    const others = this.deposits(record.channelId).filter(({ index }) => index !== record.index);
    const deposits = [...others, record].sort((left, right) => left.index - right.index);
    this.#tables.put("deposits", record.channelId, deposits);
  }

  *#counted(id: string, ofDevice: readonly string[]): Generator<CountedDeposit> {
    for (const deposits of this.#tables.rows<readonly DepositRecord[]>("deposits")) {
      for (const deposit of deposits) {
        const isOfChannel = deposit.channelId === id;
        const isOfDevice = isOfChannel || ofDevice.includes(deposit.channelId);
        yield { deposit, isOfChannel, isOfDevice, hasBought: this.#hasBought(deposit.channelId) };
      }
    }
  }

  /** Whether the device of this channel has bought on any of its channels. */
  #hasBought(channelId: string): boolean {
    const device = this.#tables.get<ChannelRecord>("channel", channelId)?.device ?? "";
    const ids = this.#channelIdsOf(device);
    return ids.some((id) => this.#tables.get<ChannelRecord>("channel", id)!.charged > 0);
  }
}

function paymentKey(channelId: string, maxClaimable: number): string {
  return `${channelId} ${maxClaimable}`;
}
