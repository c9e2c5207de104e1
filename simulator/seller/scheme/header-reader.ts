// From a PAYMENT-SIGNATURE header to the voucher in it. All a channel's headers are one text but for the voucher
// itself; that text is parsed and checked once, and known again by its bytes. What is not in the clients' common
// form is parsed each time, and what is no plain voucher is left to others.

import type { ChannelConfig } from "#protocol/messages";
import { parseJson } from "#protocol/nesting";
import { type PresentedVoucher, presentedVoucher } from "./presented-voucher.ts";

/** Texts kept, some 3 kB each; full means start again. */
const TEXTS_MAX = 20_000;

interface Known {
  readonly config: ChannelConfig;
  readonly accepted: Readonly<Record<string, unknown>>;
}

const KEY = '"voucher":';
const VOUCHER =
  /\{"channelId":"(0x[0-9a-f]{64})","maxClaimableAmount":"(0|[1-9][0-9]{0,14})","signature":"(0x[0-9a-f]{130})"\}/y;

export class HeaderReader {
  readonly #texts = new Map<string, Known>();

  /** Undefined for whatever is no plain voucher. Throws nothing. */
  read(header: string): PresentedVoucher | undefined {
    // Byte for byte: what is not ASCII fits no offer of ours, and is read properly by the framework.
    const text = Buffer.from(header, "base64").toString("latin1");
    const keyAt = text.indexOf(KEY);
    VOUCHER.lastIndex = keyAt + KEY.length;
    const cut = keyAt < 0 ? null : VOUCHER.exec(text);
    if (cut === null || text.includes(KEY, VOUCHER.lastIndex)) return presentedVoucher(jsonOf(text));
    const around = text.slice(0, keyAt) + text.slice(keyAt + KEY.length + cut[0].length);
    const known = this.#texts.get(around) ?? this.#learn(around, text, cut);
    if (known === undefined) return undefined;
    const [, channelId, maxClaimable, signature] = cut as unknown as [string, string, string, string];
    return { type: "voucher", ...known, channelId, maxClaimable, signature };
  }

  #learn(around: string, text: string, cut: RegExpExecArray): Known | undefined {
    const read = presentedVoucher(jsonOf(text));
    // The text may name a voucher in another place than the payment's own.
    const isIt = read?.channelId === cut[1] && read?.maxClaimable === cut[2] && read?.signature === cut[3];
    if (read === undefined || !isIt) return undefined;
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    const known = { config: read.config, accepted: read.accepted };
    this.#texts.set(around, known);
    return known;
  }
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
