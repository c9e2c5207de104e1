/**
 * What the gateway's rules ask of the outside. Adapters live in sellers/, ledger/, treasury/ and broker/.
 *
 * Counters are those of device/GLOSSARY.md: `charged`, `balance` in atomic units; `granted`, `register` in metered units.
 */
import type { Grant } from "#core/events";
import type { WireRefusal } from "#core/refusal";
import type { StoredDocument } from "#market/documents";
import type { OfferedTerms } from "#market/judge";
import type { Authorization } from "#payment/authorization";
import type { Pay } from "#protocol/frames";
import type {
  ChannelConfig,
  Hello,
  OfferedRequirements,
  ReadingMessage,
  StateMessage,
} from "#protocol/messages";
import type { PaymentToken } from "#protocol/payment-token";
import type { Leaf } from "#protocol/topics";
import type { PaymentPayload } from "#protocol/x402";
import type { ApprovalKind, Permit2OnChain } from "./permit2/permit2-on-chain.ts";

/** A device that said hello with a right tag. */
export interface DeviceRecord {
  /** 40 lower-case hex digits. */
  readonly device: string;
  /** Compressed, 0x and 66 hex digits. */
  readonly publicKey: string;
  readonly model: string;
  readonly firmware: string;
  readonly meter: string;
  readonly unit: string;
  readonly wantedUnits: number;
  /** CAIP-19 names of the tokens that it may pay with, a space between two; empty: it does not say. */
  readonly pays: string;
  /** The one seller that it buys from now, by its payee, 0x and 40 lower-case hex digits; empty: from any. */
  readonly payee: string;
}

/** One line of credit between a device and a seller: a batch-settlement channel, or an exact account. */
export interface ChannelRecord {
  /** Channel id, or exact account: 0x and 64 lower-case hex digits. */
  readonly id: string;
  readonly device: string;
  /** Who sells on it, by the configuration's name; empty in rows of before there were several sellers. */
  readonly seller: string;
  /** Full name of the resource bought. */
  readonly resource: string;
  readonly requirements: OfferedRequirements;
  /** Null for exact. */
  readonly config: ChannelConfig | null;
  /** Confirmed deposits less withdrawals; the ledger derives it when it reads the record. */
  readonly balance: number;
  /** The device may sign up to here: balance, or what the next deposit will raise it to. */
  readonly promised: number;
  readonly charged: number;
  /** The highest amount that was charged, whole or in part, derived like the balance: what is not above was presented. */
  readonly signed: number;
  readonly granted: number;
  readonly revision: number;
  /** A rung that was presented, and whose outcome neither seller nor chain has told yet; absent: none. */
  readonly unknown?: UnknownOutcome;
}

/** A payment that is neither paid nor unpaid, as far as is known; `sinceSeconds`: when it was first presented in vain. */
export type UnknownOutcome = Readonly<Record<"maxClaimable" | "sinceSeconds", number>>;

/** A channel, whose it is and what it is paid in. */
export type ChannelKey = Pick<ChannelRecord, "id" | "device"> & { readonly requirements: PaymentToken };

/** One paid quantum, keyed by the money: channel and cumulative amount. */
export interface PaymentRecord {
  readonly channelId: string;
  readonly maxClaimable: number;
  readonly amountAtomic: number;
  /** The seller's counters after it. */
  readonly charged: number;
  readonly granted: number;
  readonly pricePerMillionUnits: number;
  readonly register: number;
  readonly signature: string;
  /** On-chain transaction, when this payment made one. */
  readonly transaction: string;
  readonly atSeconds: number;
}

/** Money the treasury moved, or is about to move, towards a channel. */
export interface DepositRecord {
  readonly channelId: string;
  /** 0, 1, 2, ...: also the salt of the deposit's nonce, so one index is paid at most once. */
  readonly index: number;
  readonly amountAtomic: number;
  readonly validBeforeSeconds: number;
  readonly signature: string;
  /** "expired": its authorization ended unused, by the chain's clock; it counts nowhere. */
  readonly state: "intended" | "confirmed" | "expired";
  readonly atSeconds: number;
  /** Signed for a device that was never seen to buy: it counts against the newcomers' budget until one does. */
  readonly isNewcomer: boolean;
  /** CAIP-19 name of what was deposited; empty in rows of before there were several, whose channel says it. */
  readonly token: string;
}

/** An intended deposit whose authorization has ended by the gateway's clock. */
export interface OverdueDeposit {
  readonly deposit: DepositRecord;
  readonly channel: Pick<ChannelRecord, "id" | "device" | "requirements">;
}

/**
 * Sums of deposits in one token, intended or confirmed, atomic units: what a limit is held against. A deposit of a newcomer that
 * has not bought counts for its channel, its device and the newcomers, and for the fleet only once it buys.
 */
export interface DepositTotals {
  /** Into this channel, ever. */
  readonly channelAtomic: number;
  /** Into all channels of its device within the day. */
  readonly deviceDayAtomic: number;
  /** Into all channels within the day. */
  readonly fleetDayAtomic: number;
  /** Into all channels, ever. */
  readonly fleetAtomic: number;
  /** Into channels of newcomers within the day. */
  readonly newcomersDayAtomic: number;
}

/** Decides inside the ledger's transaction, so at once; null leaves everything as it is. */
export type DecideDeposit = (known: DepositRecord | null, totals: DepositTotals) => DepositRecord | null;

/** What a read gives: at once from a file, later from a server. */
export type Read<Value> = Value | Promise<Value>;

/**
 * Durable memory. A write's promise resolves when it would survive a power cut; a read sees every write that
 * resolved before, whichever gateway made it.
 */
export interface Ledger {
  device(device: string): Read<DeviceRecord | null>;
  saveDevice(record: DeviceRecord): Promise<void>;
  channelsOf(device: string): Read<readonly ChannelRecord[]>;
  saveChannel(record: ChannelRecord): Promise<void>;
  payment(channelId: string, maxClaimable: number): Read<PaymentRecord | null>;
  /** Payments beyond a cumulative amount, lowest first, at most `limit` of them. */
  paymentsAfter(channelId: string, charged: number, limit: number): Read<readonly PaymentRecord[]>;
  /** The payment and the channel's counters after it, in one transaction; a payment already there stays as it is. */
  recordPayment(payment: PaymentRecord, channel: ChannelRecord): Promise<void>;
  /** In the order of their index. */
  deposits(channelId: string): Read<readonly DepositRecord[]>;
  /** What a channel holds for its vouchers, atomic units: confirmed deposits less what was withdrawn. */
  balanceOf(channelId: string): Read<number>;
  /** In the channel's token. @param daySinceSeconds when the day of the daily sums began */
  depositTotals(channel: ChannelKey, daySinceSeconds: number): Read<DepositTotals>;
  /**
   * Stores a deposit before its signature leaves. Sums, decision and write are one transaction, so devices
   * that ask at once, even of several gateways, cannot pass a limit together.
   * @param decide which deposit shall be in force at this index, given the one that is there
   * @returns what was decided; null too while money is being withdrawn from the channel
   */
  intendDeposit(
    channel: ChannelKey,
    index: number,
    daySinceSeconds: number,
    decide: DecideDeposit,
  ): Promise<DepositRecord | null>;
  /** Intended deposits in a token whose authorization has ended, the longest ago first, at most `limit`. */
  overdueDeposits(token: PaymentToken, nowSeconds: number, limit: number): Read<readonly OverdueDeposit[]>;
  /** Remembers that a payment's outcome is not known, or with null that it is. */
  saveUnknown(channelId: string, unknown: UnknownOutcome | null): Promise<void>;
  /** Keeps what a seller has signed; one that is there stays as it is. */
  saveDocument(document: StoredDocument): Promise<void>;
  /** Replaces what is known of a deposit. */
  saveDeposit(record: DepositRecord): Promise<void>;
}

/** What a seller asks for one quantum. */
export interface Quote {
  readonly resource: string;
  readonly requirements: OfferedRequirements;
  /** Approvals of Permit2 that the seller brings to the chain with a payment; none when absent. */
  readonly sponsored?: readonly ApprovalKind[];
  /** Terms that it has signed, which `resource` names by their hash. */
  readonly offered?: OfferedTerms;
}

export interface Tariff {
  readonly unit: string;
  /** Atomic units per million metered units, 1..PRICE_MAX. */
  readonly pricePerMillionUnits: number;
  /** Unix seconds; 0 when the seller does not say. */
  readonly validUntilSeconds: number;
  /** Quanta on sale, atomic units, 1..QUANTUM_MAX, ascending; never empty. */
  readonly menu: readonly number[];
  /** It charges by what was used, at most what was signed. */
  readonly metered?: boolean | undefined;
}

/** The seller's counters of a channel. */
export type SellerCounters = Readonly<Record<"charged" | "granted", number>>;

/** As a seller shows it; nothing about it is checked. */
export interface SignedVoucher {
  readonly maxClaimable: number;
  /** 0x and 130 hex digits. */
  readonly signature: string;
}

/** What came of presenting a payment. */
export type Sale =
  | {
      readonly kind: "paid";
      readonly counters: SellerCounters;
      readonly pricePerMillionUnits: number;
      readonly validUntilSeconds: number;
      readonly transaction: string;
    }
  /** HTTP 402: `charged` and `voucher` are the seller's counter and newest voucher when its answer has them. */
  | {
      readonly kind: "unpaid";
      readonly reason: string;
      readonly charged: number | null;
      readonly voucher?: SignedVoucher | null;
    }
  /** No answer that decides anything; `isUnknown`: it was presented and may have been charged. */
  | { readonly kind: "unavailable"; readonly reason: string; readonly isUnknown?: true };

/** Why there are no terms: one line for people, and whether this gateway cannot pay by any of the seller's terms. */
export interface NoTerms {
  readonly reason: string;
  /** It answered, and nothing of what it accepts is spoken here. */
  readonly isUnpayable?: boolean;
}

export type AskedTariff = { readonly tariff: Tariff | null } & NoTerms;
/** `evidence`: what convicts the seller, where that is why there is no quote. */
export type AskedQuote = { readonly quote: Quote | null; readonly evidence?: OfferedTerms } & NoTerms;

export interface Seller {
  /** Resolves with null, and a reason, while the seller does not answer. */
  tariff(): Promise<AskedTariff>;
  /** @param wanted tokens that go before its others, whatever the order in which they are configured */
  quote(quantumAtomic: number, wanted?: readonly PaymentToken[]): Promise<AskedQuote>;
  pay(channel: ChannelRecord, amountAtomic: number, payload: PaymentPayload): Promise<Sale>;
  /**
   * The counters of a channel on which the seller has charged more than the ledger knows, because an
   * answer was lost; null while the seller's account cannot be read.
   * @param charged no more than the device signed
   * @param quantumAtomic what was signed for each payment since the channel's counters
   */
  recover(channel: ChannelRecord, charged: number, quantumAtomic: number): Promise<SellerCounters | null>;
}

/** A seller with its terms as last heard. */
export interface SellerClient {
  /** The configuration's name. */
  readonly name: string;
  readonly seller: Seller;
  /** Null before the seller's first answer. */
  tariff(): Tariff | null;
  /** Why there is no tariff, as last heard. */
  lacks(): NoTerms;
  /** It says that it charges less than was signed, or was seen to: devices that sign ahead cannot buy from it. */
  isMetered(): boolean;
  /**
   * Asks for all terms anew, because the seller refused what it asked for before; resolves with false while it
   * does not answer. What it said a moment ago serves, too: the pause grows with every such question.
   */
  reconsider(): Promise<boolean>;
  /** @param pays as DeviceRecord.pays: of several tokens that it takes, one of these is asked for where there is any */
  quote(quantumAtomic: number, pays?: string): Promise<AskedQuote>;
  /** It refused a payment, and not for anything that the device (40 hex digits), its channel or the treasury did. */
  refused(device: string, reason: string): void;
  /** Is a channel's seller (ChannelRecord.seller) this one? */
  owns(seller: string): boolean;
}

/** Which device buys where. */
export interface SellerRouter {
  /**
   * Where a device should buy now; null when it has no seller that may be bought from. One whose terms are unknown
   * yet is named when no other has.
   * @param present seller of the channel it buys on; null when it has none
   * @param isBuying it has just paid: it may be the one that tries a seller which was away
   * @param signsAhead it cannot buy from a metered seller, and gets one only where there is no other
   */
  clientFor(
    device: DeviceRecord,
    present: string | null,
    isBuying: boolean,
    signsAhead: boolean,
  ): SellerClient | null;
  /** Who is to be asked about a channel; null when the configuration names its seller no more. */
  clientOf(channel: ChannelRecord): SellerClient | null;
}

/** Who pays deposits, on whatever chain. */
export interface Treasury {
  /** 0x and 40 lower-case hex digits. */
  readonly address: string;
  /** Signs an EIP-3009 digest: see payment/authorization.ts. Rejects when an external signer does not answer. */
  sign(digest: Uint8Array): Read<Uint8Array>;
}

/** Every call rejects while the node does not answer. */
export interface Chain {
  /** Time of the latest block, Unix seconds: what an authorization's end is held against. */
  timeSeconds(): Promise<number>;
  tokenBalance(token: string, owner: string): Promise<number>;
  /** What a contract that verifies transfers in a token's place holds for an owner, atomic units (Circle's GatewayWallet). */
  heldBalance(contract: string, token: string, owner: string): Promise<number>;
  /** EIP-3009 authorizationState: true once the nonce was used. */
  authorizationUsed(token: string, from: string, nonce: string): Promise<boolean>;
  /**
   * What a channel holds, claimed or not, as deposits less withdrawals; atomic units.
   * @param channelId 0x and 64 hex digits
   */
  channelBalance(channelId: string): Promise<number>;
  /**
   * What the transfer that used a nonce brought the payee, atomic units; null when the nonce is unused, went
   * elsewhere, or was used longer ago than the adapter looks back.
   */
  paidByAuthorization(token: string, from: string, nonce: string, payTo: string): Promise<number | null>;
  readonly permit2: Permit2OnChain;
  /** Submits a signed EIP-3009 transfer and resolves when it is mined (exact: a wallet is funded). */
  submitTransfer(token: string, authorization: Authorization, signature: Uint8Array): Promise<void>;
}

/** The way back to devices. */
export interface Devices {
  publish(device: string, leaf: Leaf, payload: Uint8Array, retained: boolean): void;
}

/** Unix time in seconds. */
export type WallClock = () => number;

/** Something an operator should know; `fields` are safe to log. */
export type Logger = (
  level: "info" | "warn",
  text: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Why something that a device sent was dropped without an answer. */
export type Drop = "wrong-tag" | "malformed" | "unknown-device" | "gateway-full" | "not-enrolled";

/** What happened, reported once: gateway/telemetry makes metrics, pages and alarms of it. */
export type GatewayEvent =
  | { readonly type: "hello"; readonly device: string; readonly hello: Hello }
  | {
      readonly type: "offered";
      readonly device: string;
      readonly channel: ChannelRecord;
      readonly tariff: Tariff;
    }
  /** Nothing could be offered to a device that has no offer; `reason` is one line for people. */
  | {
      readonly type: "no-offer";
      readonly device: string;
      readonly refusal: WireRefusal;
      readonly reason: string;
    }
  | { readonly type: "pay"; readonly device: string; readonly pay: Pay }
  /** A grant or a refusal left; `channel` is null when the device named none that is known. */
  | {
      readonly type: "answered";
      readonly device: string;
      readonly channel: ChannelRecord | null;
      readonly grant: Grant;
      /** From the PAY to its answer. */
      readonly tookSeconds: number;
    }
  | { readonly type: "state"; readonly device: string; readonly state: StateMessage }
  | { readonly type: "reading"; readonly device: string; readonly reading: ReadingMessage }
  | { readonly type: "lost"; readonly device: string }
  /** Another gateway serves it from now on. */
  | { readonly type: "released"; readonly device: string }
  /** It left, and made room for another. */
  | { readonly type: "evicted"; readonly device: string }
  | { readonly type: "dropped"; readonly device: string; readonly leaf: Leaf; readonly reason: Drop }
  /** Ledger and seller count a channel's grants differently. */
  | {
      readonly type: "differs";
      readonly channelId: string;
      readonly expectedGranted: number;
      readonly foundGranted: number;
    };

/** Takes note of an event; it returns at once and never throws. */
export type Observe = (event: GatewayEvent) => void;

/** Takes the time of the two slow parts of a payment, and counts deposits; it returns at once and never throws. */
export interface Timing {
  /** Monotonic. */
  nowSeconds(): number;
  /** A payment at the seller, or a payment's commit in the ledger. */
  took(part: "seller" | "ledger", seconds: number, isGood: boolean): void;
  deposited(token: PaymentToken, amountAtomic: number): void;
}

export const UNTIMED: Timing = { nowSeconds: () => 0, took: () => {}, deposited: () => {} };
