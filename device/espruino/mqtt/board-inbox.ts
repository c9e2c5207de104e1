/**
 * A message from the gateway, checked on a board: an offer's channel id is recomputed in slices.
 *
 * Promise (T1, P1): that of host/inbox.ts. One offer is checked at a time, the newest; a configuration whose id
 * was computed before is not hashed again.
 */
import { type Opened, openGrant, openOffer } from "#host/inbox";
import { checkOfferBy } from "#payment/offer/offer-check";
import type { ChannelConfig, OfferMessage } from "#protocol/messages";
import type { Tagger } from "#protocol/tag";
import { CHANNEL_TYPE_HASH } from "../signer/channel-type.ts";
import type { Keccak } from "../signer/keccak.ts";

interface InboxParts {
  readonly tagger: Tagger;
  /** 0x and 40 lower-case hex digits. */
  readonly device: string;
  /** EIP-712 separator of the settlement contract on the network that policy allows, 32 bytes. */
  readonly domainSeparator: Uint8Array;
  /** CAIP-2, the only network whose channels can be checked. */
  readonly network: string;
  readonly keccak: Keccak;
  /** Called when an offer waits to be checked. */
  readonly wake: () => void;
}

const WORD_BYTES = 32;

interface Waiting {
  readonly message: OfferMessage;
  readonly take: (opened: Opened) => void;
  /** The configuration's members, as they were hashed. */
  readonly key: string;
  phase: "begin" | "struct" | "digest";
}

export class BoardInbox {
  private readonly parts: InboxParts;
  private waiting: Waiting | null = null;
  private known: { readonly key: string; readonly id: string } | null = null;

  constructor(parts: InboxParts) {
    this.parts = parts;
  }

  open(leaf: string, payload: Uint8Array, take: (opened: Opened) => void): void {
    const { tagger } = this.parts;
    if (leaf === "grant") {
      take(openGrant(tagger, payload));
      return;
    }
    const opened = leaf === "offer" ? openOffer(tagger, payload) : null;
    if (opened === null) take({ kind: "other" });
    else if (opened.kind !== "message") take(opened);
    else this.check(opened.message, take);
  }

  /** Hashes for one slice; false when no offer waits. */
  step(): boolean {
    const waiting = this.waiting;
    if (waiting === null) return false;
    const { keccak, domainSeparator } = this.parts;
    if (waiting.phase === "begin") {
      keccak.start(structOf(waiting.message.channel!));
      waiting.phase = "struct";
    } else if (keccak.step()) {
      if (waiting.phase === "struct") {
        const typedData = new Uint8Array(2 + 2 * WORD_BYTES);
        typedData[0] = 0x19;
        typedData[1] = 0x01;
        typedData.set(domainSeparator, 2);
        typedData.set(keccak.digest(), 2 + WORD_BYTES);
        keccak.start(typedData);
        waiting.phase = "digest";
      } else {
        this.waiting = null;
        this.known = { key: waiting.key, id: hexOf(keccak.digest()) };
        this.answer(waiting.message, this.known.id, waiting.take);
      }
    }
    return true;
  }

  private check(message: OfferMessage, take: (opened: Opened) => void): void {
    const { channel } = message;
    const isVoucher = message.requirements.scheme === "batch-settlement" && channel !== null;
    if (!isVoucher || message.requirements.network !== this.parts.network || !this.isOurs(message)) {
      this.answer(message, null, take);
      return;
    }
    const key = JSON.stringify(channel);
    if (this.known !== null && this.known.key === key) {
      this.answer(message, this.known.id, take);
      return;
    }
    // A newer offer takes the place of one that is still being checked.
    this.waiting = { message, take, key, phase: "begin" };
    this.parts.wake();
  }

  /** Nothing is hashed for what is refused anyway. */
  private isOurs(message: OfferMessage): boolean {
    return checkOfferBy(message, this.parts.device, () => "").offer !== null;
  }

  /** @param id null where no id can be computed: another scheme or network */
  private answer(message: OfferMessage, id: string | null, take: (opened: Opened) => void): void {
    const isOther = message.requirements.network !== this.parts.network;
    const { offer, refusal } = checkOfferBy(message, this.parts.device, () => id);
    if (offer !== null) take({ kind: "offer", offer });
    else take({ kind: "offer-refused", refusal: isOther ? "network-not-allowed" : refusal });
  }
}

/** EIP-712 encoding of ChannelConfig: type hash and seven words. */
function structOf(config: ChannelConfig): Uint8Array {
  const struct = new Uint8Array(8 * WORD_BYTES);
  struct.set(CHANNEL_TYPE_HASH);
  const { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt } = config;
  [payer, payerAuthorizer, receiver, receiverAuthorizer, token].forEach((address, index) => {
    putHex(struct, (index + 1) * WORD_BYTES + 12, address);
  });
  let rest = withdrawDelay;
  for (let at = 7 * WORD_BYTES - 1; rest > 0; at--) {
    struct[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  putHex(struct, 7 * WORD_BYTES, salt);
  return struct;
}

function putHex(bytes: Uint8Array, offset: number, hex: string): void {
  for (let i = 2; i < hex.length; i += 2) bytes[offset + i / 2 - 1] = parseInt(hex.substr(i, 2), 16);
}

function hexOf(bytes: Uint8Array): string {
  let text = "0x";
  for (let i = 0; i < bytes.length; i++) text += (bytes[i]! < 16 ? "0" : "") + bytes[i]!.toString(16);
  return text;
}
