// One purchase, from payment to answer, without a transport: the official x402 resource server verifies and
// settles, the account store commits charge and grant in one step, and only then is there an answer. The same
// payment presented again, by however many at once, is charged once and answered alike, and the answer says that
// it is a repetition; a voucher that is not its channel's newest is answered with the channel's counters instead.

import { PaymentPayloadV2Schema } from "@x402/core/schemas";
import type { x402ResourceServer } from "@x402/core/server";
import type { PaymentPayload, PaymentRequirements, SettleResponse } from "@x402/core/types";
import { SettleError } from "@x402/core/types";
import type { ChainWatch } from "../claims/chain-watch.ts";
import type { AccountStore, Chain, StoredAnswer } from "../ports.ts";
import { presentedVoucher } from "../scheme/presented-voucher.ts";
import type { VoucherService } from "../scheme/voucher-service.ts";
import { ChannelTurns } from "./channel-turns.ts";
import {
  depositAuthorization,
  depositReference,
  identify,
  type PaymentIdentity,
  voucherAlone,
} from "./payment-identity.ts";

/** Payments being worked on at once; one more is refused with status 503. */
const MAX_PAYMENTS_IN_FLIGHT = 10_000;

/** Our own refusal beside the SDK's: the payer asked to withdraw, so this channel buys nothing more. */
const WITHDRAWAL_PENDING = "channel_withdrawal_pending";
const NO_MATCH = "No matching payment requirements";
const PAYLOAD_UNSUPPORTED = "payment_payload_unsupported";

const EXCEEDS_BALANCE = "invalid_batch_settlement_evm_cumulative_exceeds_balance";
const CHANNEL_BUSY = "invalid_batch_settlement_evm_channel_busy";

/** Refusals that need no word of the chain's; any other may come of a node that does not answer. */
const BY_SELLER: ReadonlySet<string> = new Set([
  NO_MATCH,
  WITHDRAWAL_PENDING,
  CHANNEL_BUSY,
  "invalid_batch_settlement_evm_cumulative_amount_mismatch",
  "invalid_batch_settlement_evm_voucher_signature",
  "invalid_batch_settlement_evm_channel_id_mismatch",
]);

type SaleOutcome =
  /** `isRepetition`: this very payment was, or is being, sold to another request. */
  | { readonly kind: "sold"; readonly stored: StoredAnswer; readonly isRepetition: boolean }
  /** A refund was asked for and sent: nothing sold. */
  | { readonly kind: "acknowledged"; readonly body: unknown; readonly receipt: SettleResponse }
  /** Not paid; `payment` (when given) lets the official server add its corrective state. */
  | { readonly kind: "unpaid"; readonly reason: string; readonly payment: PaymentPayload | undefined }
  | { readonly kind: "unsettled"; readonly receipt: SettleResponse }
  /** Nothing is known to be wrong with the payment: present the same one again. */
  | { readonly kind: "unavailable"; readonly reason: string };

/** What was presented is no x402 payment at all. */
export type PresentOutcome = SaleOutcome | { readonly kind: "malformed" };

/** A payment once through the official server; `acknowledgement` when it was no purchase but a refund. */
type Attempt =
  | Extract<SaleOutcome, { kind: "unpaid" | "unsettled" }>
  | {
      readonly kind: "settled";
      readonly receipt: SettleResponse;
      readonly acknowledgement: { readonly body?: unknown } | undefined;
    };

export interface EnergySaleParts {
  readonly resourceServer: Pick<
    x402ResourceServer,
    "findMatchingRequirements" | "verifyPayment" | "settlePayment" | "createPaymentCancellationDispatcher"
  >;
  readonly store: AccountStore & { readonly isFull: boolean };
  readonly chain: Chain;
  /** Whether the node answers; absent where it always does. */
  readonly node?: Pick<ChainWatch, "trouble" | "look" | "whileItAnswers">;
  /** Sells for plain vouchers before the resource server is asked; absent with the official scheme. */
  readonly voucherService?: VoucherService | undefined;
  /** Unix time in milliseconds. */
  readonly nowMs: () => number;
  /** Whether the signature of an EIP-3009 authorization is its payer's. */
  readonly authorizationIsSigned: (
    payment: PaymentPayload,
    requirements: PaymentRequirements,
  ) => Promise<boolean>;
  /** One line about something that went wrong and cannot be answered to the buyer. */
  readonly warn: (line: string) => void;
}

export class EnergySale {
  readonly #parts: EnergySaleParts;
  readonly #inFlight = new Map<string, Promise<SaleOutcome>>();
  readonly #turns = new ChannelTurns();

  constructor(parts: EnergySaleParts) {
    this.#parts = parts;
  }

  /** Sells one quantum for `presented`, what the JSON of a PAYMENT-SIGNATURE said. */
  async present(presented: unknown, offers: readonly PaymentRequirements[]): Promise<PresentOutcome> {
    const { voucherService } = this.#parts;
    const voucher = voucherService === undefined ? undefined : presentedVoucher(presented);
    const quick = voucher === undefined ? undefined : await voucherService?.sell(voucher, offers);
    if (quick !== undefined) return quick;
    const read = PaymentPayloadV2Schema.safeParse(presented);
    return read.success ? this.sell(read.data as PaymentPayload, offers) : { kind: "malformed" };
  }

  /** Sells one quantum, the amount of `offers`, for `payment`. */
  async sell(payment: PaymentPayload, offers: readonly PaymentRequirements[]): Promise<SaleOutcome> {
    const identity = identify(payment);
    if (identity === undefined) return { kind: "unpaid", reason: PAYLOAD_UNSUPPORTED, payment: undefined };
    const key = [
      identity.type,
      identity.account,
      identity.reference,
      identity.signature,
      payment.accepted.amount,
      identity.type === "deposit" ? depositReference(payment) : "",
    ].join(" ");
    const running = this.#inFlight.get(key);
    if (running !== undefined) return repetition(await this.#inTime(identity, running));
    if (this.#inFlight.size >= MAX_PAYMENTS_IN_FLIGHT) return TOO_MANY;
    const work = () => this.#sell(payment, offers, identity);
    const selling = identity.scheme === "exact" ? work() : this.#turns.run(identity.account, work);
    if (selling === undefined) return { kind: "unpaid", reason: CHANNEL_BUSY, payment: undefined };
    const sale = selling.finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, sale);
    return this.#inTime(identity, sale);
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
    if ((amountOf(stored) ?? amount) !== amount) return undefined;
    if (identity.scheme === "exact") return stored;
    if (store.channel(account)?.chargedCumulativeAmount !== reference) return undefined;
    if (identity.type === "deposit" && !(await this.#alreadyDeposited(payment))) return undefined;
    return stored;
  }

  async #sell(
    payment: PaymentPayload,
    offers: readonly PaymentRequirements[],
    identity: PaymentIdentity,
  ): Promise<SaleOutcome> {
    try {
      await this.#parts.voucherService?.underWay(identity.account);
      const known = await this.#answered(payment, offers, identity);
      if (known !== undefined) return { kind: "sold", stored: known, isRepetition: true };
      if (this.#parts.store.isFull) return TOO_MANY;
      const away = identity.type === "voucher" ? undefined : this.#parts.node?.trouble;
      if (away !== undefined) return presentAgain(away);
      const outcome = await this.#sellAnew(payment, offers, identity);
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
  ): Promise<SaleOutcome> {
    const { resourceServer, store } = this.#parts;
    const requirements = resourceServer.findMatchingRequirements([...offers], payment);
    if (requirements === undefined) return { kind: "unpaid", reason: NO_MATCH, payment: undefined };
    if (identity.scheme === "exact") return this.#sellExact(payment, requirements, identity);
    const leaving = (store.channel(identity.account)?.withdrawRequestedAt ?? 0) !== 0;
    if (leaving && identity.type !== "refund") return { kind: "unpaid", reason: WITHDRAWAL_PENDING, payment };
    return this.#sellOnChannel(payment, requirements, identity);
  }

  async #sellOnChannel(
    payment: PaymentPayload,
    requirements: PaymentRequirements,
    identity: PaymentIdentity,
  ): Promise<SaleOutcome> {
    const { store, chain, nowMs } = this.#parts;
    let attempt = await this.#verifyAndSettle(payment, requirements);
    if (attempt.kind !== "settled" && identity.type !== "refund") {
      // The money may be on the channel without our having seen it come: a deposit whose answer was lost
      // before it was stored, or one made by others. Then the voucher alone is the payment.
      const deposited = identity.type === "deposit" && (await this.#alreadyDeposited(payment));
      if (deposited || (attempt.kind === "unpaid" && attempt.reason === EXCEEDS_BALANCE)) {
        const readAtMs = nowMs();
        await store.refreshChannels(await chain.readChannels([identity.account]), readAtMs);
        attempt = await this.#verifyAndSettle(deposited ? voucherAlone(payment) : payment, requirements);
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

  async #verifyAndSettle(payment: PaymentPayload, requirements: PaymentRequirements): Promise<Attempt> {
    const verified = await this.#parts.resourceServer.verifyPayment(payment, requirements);
    if (!verified.isValid) {
      return { kind: "unpaid", reason: verified.invalidReason ?? "payment refused", payment };
    }
    const receipt = await this.#settle(payment, requirements);
    if (!receipt.success) return { kind: "unsettled", receipt };
    return { kind: "settled", receipt, acknowledgement: verified.skipHandler };
  }

  async #sellExact(
    payment: PaymentPayload,
    requirements: PaymentRequirements,
    identity: PaymentIdentity,
  ): Promise<SaleOutcome> {
    const { store } = this.#parts;
    const attempt = await this.#verifyAndSettle(payment, requirements);
    let receipt: SettleResponse;
    if (attempt.kind === "settled") receipt = attempt.receipt;
    else {
      // Used up, and unknown to the store: if that very transfer came to us, it was settled and the answer
      // lost before it could be stored.
      const found = await this.#paidBefore(payment, requirements, identity);
      if (found === undefined) return attempt;
      receipt = found;
    }
    const stored = await store.chargeExact({
      payer: identity.account,
      nonce: identity.reference,
      signature: identity.signature,
      quantumAtomic: Number(requirements.amount),
      // Not every facilitator says what it settled; the payment is known again by it.
      receipt: { ...receipt, amount: requirements.amount },
    });
    return { kind: "sold", stored, isRepetition: false };
  }

  async #settle(payment: PaymentPayload, requirements: PaymentRequirements): Promise<SettleResponse> {
    const { resourceServer } = this.#parts;
    const cancellation = resourceServer.createPaymentCancellationDispatcher(payment, requirements);
    try {
      return await resourceServer.settlePayment(payment, requirements);
    } catch (error) {
      // Else the channel stays reserved, and every further payment on it busy, until the reservation expires.
      await cancellation.cancel({ reason: "handler_threw", error });
      if (!(error instanceof SettleError)) throw error;
      const { errorReason, errorMessage, transaction, network } = error;
      return {
        success: false,
        transaction,
        network,
        ...(errorReason === undefined ? {} : { errorReason }),
        ...(errorMessage === undefined ? {} : { errorMessage }),
      };
    }
  }

  async #alreadyDeposited(payment: PaymentPayload): Promise<boolean> {
    const deposit = depositAuthorization(payment);
    return deposit === undefined ? false : this.#parts.chain.authorizationUsed(deposit.payer, deposit.nonce);
  }

  async #paidBefore(
    payment: PaymentPayload,
    requirements: PaymentRequirements,
    identity: PaymentIdentity,
  ): Promise<SettleResponse | undefined> {
    const { chain } = this.#parts;
    if (!(await this.#parts.authorizationIsSigned(payment, requirements))) return undefined;
    if (!(await chain.authorizationUsed(identity.account, identity.reference))) return undefined;
    const transaction = await chain.paymentByAuthorization(
      identity.account,
      identity.reference,
      BigInt(requirements.amount),
    );
    if (transaction === undefined) return undefined;
    return { success: true, transaction, network: requirements.network, payer: identity.account };
  }
}

function presentAgain(why: string): SaleOutcome {
  return { kind: "unavailable", reason: `${why}; present the same payment again` };
}

const TOO_MANY = presentAgain("too many payments at once");

/** What a request hears that presented a payment while another one's was worked on. */
function repetition(outcome: SaleOutcome): SaleOutcome {
  return outcome.kind === "sold" ? { ...outcome, isRepetition: true } : outcome;
}

/** What a sold payment was charged, atomic units; undefined in the rows of before exact answers stated it. */
function amountOf({ receipt }: StoredAnswer): unknown {
  return receipt.extra?.chargedAmount ?? receipt.amount;
}
