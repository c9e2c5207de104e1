// One purchase, from payment to answer, without a transport: the official x402 resource server verifies and
// settles, the account store commits charge and grant in one step, and only then is there an answer. The same
// payment presented again, by however many at once, is charged once and answered alike, and the answer says that
// it is a repetition; a voucher that is not its channel's newest is answered with the channel's counters instead.

import { PaymentPayloadV2Schema } from "@x402/core/schemas";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { SOLD_OUT } from "#gateway/purchase/faults/seller-fault";
import type { ChainWatch } from "../claims/chain-watch.ts";
import type { AccountStore, Chain, StoredAnswer } from "../ports.ts";
import { presentedVoucher } from "../scheme/presented-voucher.ts";
import type { VoucherService } from "../scheme/voucher-service.ts";
import { type SaleOutcome, verifyAndSettle } from "./attempt.ts";
import { buyersIdentifier } from "./buyers-identifier.ts";
import { ChannelTurns } from "./channel-turns.ts";
import { type ChargedShare, WHOLE } from "./charged-share.ts";
import {
  depositAuthorization,
  identify,
  type PaymentIdentity,
  type TransferIdentity,
  voucherAlone,
} from "./payment-identity.ts";
import { type Asked, sellTransfer, type TransferParts } from "./transfer-sale.ts";

/** Payments being worked on at once; one more is refused with status 503. */
const MAX_PAYMENTS_IN_FLIGHT = 10_000;

/** Our own refusal beside the SDK's: the payer asked to withdraw, so this channel buys nothing more. */
const WITHDRAWAL_PENDING = "channel_withdrawal_pending";
const NO_MATCH = "No matching payment requirements";
const PAYLOAD_UNSUPPORTED = "payment_payload_unsupported";
/** The SDK's own word for extensions that were not echoed as they were declared. */
const ECHO_MISMATCH = "extension_echo_mismatch";

const EXCEEDS_BALANCE = "invalid_batch_settlement_evm_cumulative_exceeds_balance";
const CHANNEL_BUSY = "invalid_batch_settlement_evm_channel_busy";

/** Refusals that need no word of the chain's; any other may come of a node that does not answer. */
const BY_SELLER: ReadonlySet<string> = new Set([
  NO_MATCH,
  SOLD_OUT,
  WITHDRAWAL_PENDING,
  CHANNEL_BUSY,
  ECHO_MISMATCH,
  "invalid_batch_settlement_evm_cumulative_amount_mismatch",
  "invalid_batch_settlement_evm_voucher_signature",
  "invalid_batch_settlement_evm_channel_id_mismatch",
]);

/** What was presented is no x402 payment at all. */
export type PresentOutcome = SaleOutcome | { readonly kind: "malformed" };

export interface EnergySaleParts extends TransferParts {
  readonly store: AccountStore & { readonly isFull: boolean };
  readonly chain: Chain;
  /** Whether the node answers; absent where it always does. */
  readonly node?: Pick<ChainWatch, "trouble" | "look" | "whileItAnswers">;
  /** Sells for plain vouchers before the resource server is asked; absent with the official scheme. */
  readonly voucherService?: VoucherService | undefined;
  /** What is charged of a channel's voucher; an exact transfer cannot be charged in part. */
  readonly chargedShare: ChargedShare;
  /** Unix time in milliseconds. */
  readonly nowMs: () => number;
  /** Whether a payment's extensions are those that were declared; absent where none are. */
  readonly echoesExtensions?: (payment: PaymentPayload) => boolean;
  /** Nothing is left to sell; absent where there always is. */
  readonly isSoldOut?: (() => boolean) | undefined;
  /** One line about something that went wrong and cannot be answered to the buyer. */
  readonly warn: (line: string) => void;
}

export class EnergySale {
  readonly #parts: EnergySaleParts;
  readonly #inFlight = new Map<string, Promise<SaleOutcome>>();
  readonly #turns = new ChannelTurns();
  /** Buyers' identifiers whose payments are worked on. */
  readonly #names = new Set<string>();

  constructor(parts: EnergySaleParts) {
    this.#parts = parts;
  }

  /**
   * Sells one quantum for `presented`, what the JSON of a PAYMENT-SIGNATURE said.
   * @param usedAtomic of an upto payment, what is charged of it; all that was signed when absent
   */
  async present(
    presented: unknown,
    offers: readonly PaymentRequirements[],
    usedAtomic?: number,
  ): Promise<PresentOutcome> {
    const { voucherService } = this.#parts;
    const voucher = voucherService === undefined ? undefined : presentedVoucher(presented);
    const quick = voucher === undefined ? undefined : await voucherService?.sell(voucher, offers);
    if (quick !== undefined) return quick;
    const read = PaymentPayloadV2Schema.safeParse(presented);
    return read.success ? this.sell(read.data as PaymentPayload, offers, usedAtomic) : { kind: "malformed" };
  }

  /** Sells one quantum, the amount of `offers`, for `payment`. */
  async sell(
    payment: PaymentPayload,
    offers: readonly PaymentRequirements[],
    usedAtomic?: number,
  ): Promise<SaleOutcome> {
    const identity = identify(payment);
    if (identity === undefined) return { kind: "unpaid", reason: PAYLOAD_UNSUPPORTED, payment: undefined };
    const key = [
      identity.type,
      identity.account,
      identity.reference,
      identity.signature,
      payment.accepted.amount,
      identity.type === "deposit" ? JSON.stringify(payment.payload.deposit) : "",
    ].join(" ");
    const running = this.#inFlight.get(key);
    if (running !== undefined) return repetition(await this.#inTime(identity, running));
    if (this.#inFlight.size >= MAX_PAYMENTS_IN_FLIGHT) return TOO_MANY;
    const selling =
      identity.scheme === "batch-settlement"
        ? this.#turns.run(identity.account, () => this.#sell(payment, offers, identity))
        : this.#sellNamed(payment, offers, identity, usedAtomic);
    if (selling === undefined) return { kind: "unpaid", reason: CHANNEL_BUSY, payment: undefined };
    const sale = selling.finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, sale);
    return this.#inTime(identity, sale);
  }

  /**
   * A payment by transfer, under the buyer's identifier when it gave one: of payments that have one identifier the first
   * is sold, and the others are told so. A voucher needs none, for channel and amount are its name.
   */
  async #sellNamed(
    payment: PaymentPayload,
    offers: readonly PaymentRequirements[],
    identity: TransferIdentity,
    usedAtomic: number | undefined,
  ): Promise<SaleOutcome> {
    const named = buyersIdentifier(payment);
    if (named.kind === "none") return this.#sell(payment, offers, identity, { usedAtomic });
    if (named.kind === "invalid") return { kind: "identifier-invalid", reason: named.reason };
    const { reference } = named;
    const name = `${identity.account} ${reference}`;
    const isTaken =
      (this.#parts.store.answer(identity.account, reference)?.signature ?? identity.signature) !==
      identity.signature;
    if (isTaken || this.#names.has(name)) return IDENTIFIER_TAKEN;
    this.#names.add(name);
    try {
      return await this.#sell(payment, offers, identity, { usedAtomic, identifier: reference });
    } finally {
      this.#names.delete(name);
    }
  }

  /** No request waits for a node that fell silent; the sale itself goes on, and is found when presented again. */
  async #inTime({ type }: PaymentIdentity, sale: Promise<SaleOutcome>): Promise<SaleOutcome> {
    const { node } = this.#parts;
    // A voucher needs no node.
    if (node === undefined || type === "voucher") return sale;
    const outcome = await node.whileItAnswers(sale);
    return outcome ?? presentAgain(node.trouble ?? "the chain does not answer");
  }

  /** Resolves when no payment is being worked on any more. */
  async idle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled([...this.#inFlight.values()]);
    await this.#parts.voucherService?.idle();
  }

  /**
   * The stored answer of this very payment: the same signature, for the amount that is asked for now, and of a
   * channel the newest voucher. A deposit is the same one only if the chain has seen it: others may have been
   * signed beside the same voucher.
   */
  async #answered(
    payment: PaymentPayload,
    offers: readonly PaymentRequirements[],
    identity: PaymentIdentity,
  ): Promise<StoredAnswer | undefined> {
    if (identity.type === "refund") return undefined;
    const { store } = this.#parts;
    const { account, reference, signature } = identity;
    const stored = store.answer(account, reference);
    if (stored?.signature !== signature) return undefined;
    const { amount } = payment.accepted;
    if (!offers.some((offer) => offer.amount === amount)) return undefined;
    // What was signed is in the signature; of it upto may have charged less.
    if (identity.scheme === "upto") return stored;
    const share = identity.scheme === "exact" ? WHOLE : this.#parts.chargedShare;
    if ((amountOf(stored) ?? amount) !== String(share(Number(amount)))) return undefined;
    if (identity.scheme === "exact") return stored;
    if (store.channel(account)?.signedMaxClaimable !== reference) return undefined;
    if (identity.type === "deposit" && !(await this.#alreadyDeposited(payment))) return undefined;
    return stored;
  }

  async #sell(
    payment: PaymentPayload,
    offers: readonly PaymentRequirements[],
    identity: PaymentIdentity,
    asked: Asked = {},
  ): Promise<SaleOutcome> {
    try {
      await this.#parts.voucherService?.underWay(identity.account);
      const known = await this.#answered(payment, offers, identity);
      if (known !== undefined) return { kind: "sold", stored: known, isRepetition: true };
      if (this.#parts.store.isFull) return TOO_MANY;
      const away = identity.type === "voucher" ? undefined : this.#parts.node?.trouble;
      if (away !== undefined) return presentAgain(away);
      const outcome = await this.#sellAnew(payment, offers, identity, asked);
      const isDecided =
        outcome.kind === "sold" || (outcome.kind === "unpaid" && BY_SELLER.has(outcome.reason));
      const trouble = isDecided ? undefined : await this.#parts.node?.look();
      return trouble === undefined ? outcome : presentAgain(trouble);
    } catch (error) {
      const reason = (error as Error).message.split("\n")[0] ?? "unknown";
      this.#parts.warn(`payment ${identity.account} ${identity.reference}: ${reason}`);
      return presentAgain((await this.#parts.node?.look()) ?? "the payment could not be worked on");
    }
  }

  async #sellAnew(
    payment: PaymentPayload,
    offers: readonly PaymentRequirements[],
    identity: PaymentIdentity,
    asked: Asked,
  ): Promise<SaleOutcome> {
    const { resourceServer, store, echoesExtensions, isSoldOut } = this.#parts;
    const requirements = resourceServer.findMatchingRequirements([...offers], payment);
    if (requirements === undefined) return { kind: "unpaid", reason: NO_MATCH, payment: undefined };
    if (echoesExtensions?.(payment) === false)
      return { kind: "unpaid", reason: ECHO_MISMATCH, payment: undefined };
    if (isSoldOut?.() && identity.type !== "refund") return { kind: "unpaid", reason: SOLD_OUT, payment };
    if (identity.scheme !== "batch-settlement")
      return sellTransfer(this.#parts, payment, requirements, identity, {
        ...asked,
        usedAtomic: asked?.usedAtomic ?? this.#parts.chargedShare(Number(requirements.amount)),
      });
    const leaving = (store.channel(identity.account)?.withdrawRequestedAt ?? 0) !== 0;
    if (leaving && identity.type !== "refund") return { kind: "unpaid", reason: WITHDRAWAL_PENDING, payment };
    return this.#sellOnChannel(payment, requirements, identity);
  }

  async #sellOnChannel(
    payment: PaymentPayload,
    requirements: PaymentRequirements,
    identity: PaymentIdentity,
  ): Promise<SaleOutcome> {
    const { resourceServer, store, chain, nowMs } = this.#parts;
    const charged = identity.type === "refund" ? undefined : this.#charged(requirements.amount);
    let attempt = await verifyAndSettle(resourceServer, payment, requirements, charged);
    if (attempt.kind !== "settled" && identity.type !== "refund") {
      // The money may be on the channel without our having seen it come: a deposit whose answer was lost
      // before it was stored, or one made by others. Then the voucher alone is the payment.
      const deposited = identity.type === "deposit" && (await this.#alreadyDeposited(payment));
      if (deposited || (attempt.kind === "unpaid" && attempt.reason === EXCEEDS_BALANCE)) {
        const readAtMs = nowMs();
        await store.refreshChannels(await chain.readChannels([identity.account]), readAtMs);
        attempt = await verifyAndSettle(
          resourceServer,
          deposited ? voucherAlone(payment) : payment,
          requirements,
          charged,
        );
      }
    }
    if (attempt.kind !== "settled") return attempt;
    const { receipt, acknowledgement } = attempt;
    if (acknowledgement !== undefined) return { kind: "acknowledged", body: acknowledgement.body, receipt };
    if (receipt.transaction !== "") await store.recordDeposit(identity.account, identity.reference, receipt);
    const stored = store.answer(identity.account, identity.reference);
    if (stored === undefined) throw new Error("settled, but not in the store");
    return { kind: "sold", stored, isRepetition: false };
  }

  /** What is charged of a voucher, where that is less than was signed. */
  #charged(amount: string): string | undefined {
    const charged = String(this.#parts.chargedShare(Number(amount)));
    return charged === amount ? undefined : charged;
  }

  async #alreadyDeposited(payment: PaymentPayload): Promise<boolean> {
    const deposit = depositAuthorization(payment);
    return deposit === undefined ? false : this.#parts.chain.authorizationUsed(deposit);
  }
}

function presentAgain(why: string): SaleOutcome {
  return { kind: "unavailable", reason: `${why}; present the same payment again` };
}

const TOO_MANY = presentAgain("too many payments at once");

const IDENTIFIER_TAKEN: SaleOutcome = {
  kind: "identifier-taken",
  reason: "payment-identifier: expected one of this payment's own, found that of another payment",
};

/** What a request hears that presented a payment while another one's was worked on. */
function repetition(outcome: SaleOutcome): SaleOutcome {
  return outcome.kind === "sold" ? { ...outcome, isRepetition: true } : outcome;
}

/** What a sold payment was charged, atomic units; undefined in the rows of before exact answers stated it. */
function amountOf({ receipt }: StoredAnswer): unknown {
  return receipt.extra?.chargedAmount ?? receipt.amount;
}
