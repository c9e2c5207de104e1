// The counter for plain vouchers on channels the seller knows: all checks in the order of their cost, the
// signature last, then one durable charge. It sells or refuses only what it is sure of; whatever is unusual
// (an unknown channel, another count, a stale view of the chain, a repeated payment) is left to the x402
// resource server, which answers it as it always did.

import type { PaymentRequirements } from "@x402/core/types";
import type { Channel, StoredAnswer } from "../ports.ts";
import type { ChargedShare } from "../sale/charged-share.ts";
import { echoes, type PresentedVoucher, sameConfig } from "./presented-voucher.ts";
import type { VoucherSignatures } from "./voucher-signatures.ts";

const ZERO_ADDRESS = `0x${"0".repeat(40)}`;

const BAD_SIGNATURE = "invalid_batch_settlement_evm_voucher_signature";

interface VoucherServiceParts {
  readonly store: VoucherStore;
  readonly signatures: VoucherSignatures;
  readonly chargedShare: ChargedShare;
  /** Unix time in milliseconds. */
  readonly nowMs: () => number;
  /** How long what was read of a channel from the chain is relied on. */
  readonly onchainStateTtlMs: number;
  /** Nothing is left to sell; absent where there always is. */
  readonly isSoldOut?: (() => boolean) | undefined;
  /** One line about something that went wrong and cannot be answered to the buyer. */
  readonly warn: (line: string) => void;
}

export interface VoucherStore {
  /** As committed. */
  channel(id: string): Channel | undefined;
  /**
   * Charges the channel for the voucher and resolves once that is on disk; undefined when another request
   * has the channel.
   */
  chargeVoucher(channel: Channel, voucher: ChargedVoucher): Promise<StoredAnswer> | undefined;
}

export interface ChargedVoucher {
  readonly maxClaimable: string;
  readonly signature: string;
  /** What is charged of it. */
  readonly amountAtomic: number;
  /** Unix time in milliseconds. */
  readonly atMs: number;
}

export type VoucherOutcome =
  /** `isRepetition`: the same voucher is being sold to another request. */
  | { readonly kind: "sold"; readonly stored: StoredAnswer; readonly isRepetition: boolean }
  | { readonly kind: "unpaid"; readonly reason: string; readonly payment: undefined }
  | { readonly kind: "unavailable"; readonly reason: string };

/** Vouchers that wait for another one of their channel; one more is answered that its channel is busy. */
export const WAITING_MAX = 1_000;

interface Charge {
  readonly maxClaimable: string;
  readonly signature: string;
  readonly amountAtomic: number;
  readonly outcome: Promise<VoucherOutcome>;
}

export class VoucherService {
  readonly #parts: VoucherServiceParts;
  readonly #charges = new Map<string, Charge>();
  #waiting = 0;

  constructor(parts: VoucherServiceParts) {
    this.#parts = parts;
  }

  /** Sells for a plain voucher; undefined, now or later, when another path decides it. */
  sell(
    voucher: PresentedVoucher,
    offers: readonly PaymentRequirements[],
  ): Promise<VoucherOutcome | undefined> | undefined {
    const running = this.#charges.get(voucher.channelId);
    if (running !== undefined) return this.#join(running, voucher, offers);
    const offer = offers.find((one) => one.scheme === "batch-settlement" && echoes(one, voucher.accepted));
    if (offer === undefined) return undefined;
    const { store, signatures, nowMs, isSoldOut } = this.#parts;
    if (isSoldOut?.()) return undefined;
    const channel = store.channel(voucher.channelId);
    const atMs = nowMs();
    if (channel === undefined || !this.#isFit(channel, offer, atMs)) return undefined;
    const amountAtomic = Number(offer.amount);
    const maxClaimable = Number(voucher.maxClaimable);
    if (maxClaimable !== Number(channel.chargedCumulativeAmount) + amountAtomic) return undefined;
    // Charged in part, it would fit a smaller quantum, and be charged again.
    if (voucher.maxClaimable === channel.signedMaxClaimable) return undefined;
    if (maxClaimable > Number(channel.balance) || maxClaimable <= Number(channel.totalClaimed))
      return undefined;
    if (!sameConfig(channel.channelConfig, voucher.config)) return undefined;
    const authorizer = channel.channelConfig.payerAuthorizer.toLowerCase();
    if (!signatures.isSignedBy(authorizer, voucher.channelId, BigInt(maxClaimable), voucher.signature)) {
      return Promise.resolve({ kind: "unpaid", reason: BAD_SIGNATURE, payment: undefined });
    }
    return this.#charge(channel, voucher, amountAtomic, atMs);
  }

  /** Resolves when the charge that runs on a channel, if one does, is over. */
  async underWay(channelId: string): Promise<void> {
    await this.#charges.get(channelId)?.outcome;
  }

  /** Resolves when no charge is under way. */
  async idle(): Promise<void> {
    while (this.#charges.size > 0) {
      await Promise.allSettled([...this.#charges.values()].map((charge) => charge.outcome));
    }
  }

  /** The same voucher shares the charge that runs; another waits its turn. */
  #join(
    running: Charge,
    voucher: PresentedVoucher,
    offers: readonly PaymentRequirements[],
  ): Promise<VoucherOutcome | undefined> | undefined {
    const { maxClaimable, signature, amountAtomic, outcome } = running;
    const isSame = maxClaimable === voucher.maxClaimable && signature === voucher.signature;
    const amount = offers.find((one) => one.scheme === "batch-settlement")?.amount;
    if (isSame && Number(amount) === amountAtomic && voucher.accepted.amount === amount) {
      return outcome.then(repetition);
    }
    if (this.#waiting >= WAITING_MAX) return undefined;
    this.#waiting += 1;
    return outcome.then(() => {
      this.#waiting -= 1;
      return this.sell(voucher, offers);
    });
  }

  #isFit(channel: Channel, offer: PaymentRequirements, atMs: number): boolean {
    const { onchainSyncedAt: readAtMs, channelConfig: config } = channel;
    return (
      channel.withdrawRequestedAt === 0 &&
      readAtMs !== undefined &&
      atMs - readAtMs <= this.#parts.onchainStateTtlMs &&
      config.withdrawDelay === offer.extra.withdrawDelay &&
      // A channel without an authorizer may be a contract's; who signs for it only the chain knows.
      config.payerAuthorizer !== ZERO_ADDRESS
    );
  }

  #charge(
    channel: Channel,
    { channelId, maxClaimable, signature }: PresentedVoucher,
    amountAtomic: number,
    atMs: number,
  ): Promise<VoucherOutcome> | undefined {
    const charging = this.#parts.store.chargeVoucher(channel, {
      maxClaimable,
      signature,
      amountAtomic: this.#parts.chargedShare(amountAtomic),
      atMs,
    });
    if (charging === undefined) return undefined;
    const outcome = charging.then(
      (stored): VoucherOutcome => {
        this.#charges.delete(channelId);
        return { kind: "sold", stored, isRepetition: false };
      },
      (error: Error): VoucherOutcome => {
        this.#charges.delete(channelId);
        this.#parts.warn(`voucher ${channelId} ${maxClaimable}: ${error.message.split("\n")[0]}`);
        return { kind: "unavailable", reason: "the payment could not be stored; present the same one again" };
      },
    );
    this.#charges.set(channelId, { maxClaimable, signature, amountAtomic, outcome });
    return outcome;
  }
}

function repetition(outcome: VoucherOutcome): VoucherOutcome {
  return outcome.kind === "sold" ? { ...outcome, isRepetition: true } : outcome;
}
