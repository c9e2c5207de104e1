/**
 * Seller and ledger as they are, with their time taken.
 *
 * Promise: nothing is changed but that somebody is told, after the fact, how long it took and how it ended.
 */
import type { Ledger, Seller } from "./ports.ts";

export type Stage = "seller" | "ledger";

export interface Timing {
  /** A payment at the seller, or a payment's commit in the ledger. */
  took(stage: Stage, seconds: number, isGood: boolean): void;
  deposited(amountAtomic: number): void;
}

/** @param nowSeconds monotonic seconds */
export function timedSeller(seller: Seller, timing: Timing, nowSeconds: () => number): Seller {
  return {
    tariff: () => seller.tariff(),
    quote: (quantumAtomic) => seller.quote(quantumAtomic),
    async pay(channel, amountAtomic, payload) {
      const since = nowSeconds();
      const sale = await seller.pay(channel, amountAtomic, payload);
      timing.took("seller", nowSeconds() - since, sale.kind === "paid");
      return sale;
    },
    recover: (channel, charged, quantumAtomic) => seller.recover(channel, charged, quantumAtomic),
  };
}

/** @param nowSeconds monotonic seconds */
export function timedLedger<L extends Ledger>(ledger: L, timing: Timing, nowSeconds: () => number): L {
  const timed: Pick<Ledger, "recordPayment" | "saveDeposit"> = {
    async recordPayment(payment, channel) {
      const since = nowSeconds();
      try {
        await ledger.recordPayment(payment, channel);
        timing.took("ledger", nowSeconds() - since, true);
      } catch (error) {
        timing.took("ledger", nowSeconds() - since, false);
        throw error;
      }
    },
    async saveDeposit(record) {
      await ledger.saveDeposit(record);
      if (record.state === "confirmed") timing.deposited(record.amountAtomic);
    },
  };
  return new Proxy(ledger, {
    get(target, name) {
      if (name === "recordPayment" || name === "saveDeposit") return timed[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
