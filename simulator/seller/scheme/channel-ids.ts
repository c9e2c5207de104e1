// A channel's id is the hash of its config; a config hashed once is known by its bytes.

import { channelIdOf } from "#payment/channel";
import type { ChannelConfig } from "#protocol/messages";

/** Configs whose ids are kept, some 700 bytes each; full means start again. */
const CONFIGS_MAX = 50_000;

export class ChannelIds {
  readonly #chainId: number;
  readonly #ids = new Map<string, string>();

  constructor(chainId: number) {
    this.#chainId = chainId;
  }

  /** 0x and 64 hex digits, lower case; undefined for a config that cannot be hashed. */
  idOf(config: ChannelConfig): string | undefined {
    const { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt } = config;
    const bytes = `${payer}${payerAuthorizer}${receiver}${receiverAuthorizer}${token}${withdrawDelay} ${salt}`;
    const known = this.#ids.get(bytes);
    if (known !== undefined) return known;
    let id: string;
    try {
      id = channelIdOf(config, this.#chainId);
    } catch {
      return undefined;
    }
    if (this.#ids.size >= CONFIGS_MAX) this.#ids.clear();
    this.#ids.set(bytes, id);
    return id;
  }
}
