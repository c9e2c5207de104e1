/**
 * One seller at work: its guarded calls, its tariff as last heard, and how it is doing.
 *
 * Promise: no quote that is kept is given out once the chain speaks against its terms, and none that asks for another payee
 * than the configuration says is paid there.
 */

import { detach } from "#core/detach";
import { isPaidBy, type PaymentToken } from "#protocol/payment-token";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import { SOLD_OUT } from "../purchase/faults/seller-fault.ts";
import type { AskedQuote, NoTerms, Seller, SellerClient, Tariff } from "../purchase/ports.ts";
import { GuardedSeller, type SellerGuards, type SellerLimits } from "./guarded-seller.ts";
import type { HealthName } from "./seller-health.ts";
import type { SellerStatus } from "./seller-status.ts";
import { TariffWatch } from "./tariff-watch.ts";

interface SellerClientOptions extends SellerLimits {
  readonly kind: "electricity" | "fixed";
  /** For people: without passwords. */
  readonly url: string;
  /** What it is paid in, the most wanted first. */
  readonly tokens: readonly PaymentToken[];
  /** Who is paid there, 0x and 40 lower-case hex digits, where the configuration says it. */
  readonly payee?: string | undefined;
  /** Also owns the channels of before there were several sellers. */
  readonly isFirst: boolean;
}

export class RunningSellerClient implements SellerClient {
  readonly #options: SellerClientOptions;
  readonly #guards: SellerGuards;
  readonly #seller: GuardedSeller;
  readonly #watch: TariffWatch;
  /** Of its last quote. */
  #token: PaymentToken;

  /** @param seller speaks the seller's language */
  constructor(seller: Seller, options: SellerClientOptions, guards: SellerGuards) {
    const { name } = options;
    const note: SellerGuards["note"] = (level, text, fields) =>
      guards.note(level, text, { seller: name, ...fields });
    const { timer, changed } = guards;
    this.#options = options;
    this.#token = options.tokens[0]!;
    this.#guards = guards;
    this.#seller = new GuardedSeller(seller, options, { ...guards, note }, () =>
      detach(this.#watch.refresh(), noteFailure(note, "asking a seller for its tariff")),
    );
    this.#watch = new TariffWatch(this.#seller, note, changed, {
      nowMs: () => Date.now(),
      after: (delayMs, act) => timer.after(delayMs, act),
    });
  }

  get name(): string {
    return this.#options.name;
  }

  get seller(): Seller {
    return this.#seller;
  }

  /** What it is paid in, the most wanted first. */
  get tokens(): readonly PaymentToken[] {
    return this.#options.tokens;
  }

  get payee(): string | undefined {
    return this.#options.payee;
  }

  get health(): HealthName {
    return this.#seller.health.name;
  }

  owns(seller: string): boolean {
    return seller === this.name || (seller === "" && this.#options.isFirst);
  }

  tariff(): Tariff | null {
    return this.#watch.tariff();
  }

  lacks(): NoTerms {
    return this.#watch.lacks();
  }

  isMetered(): boolean {
    return this.#seller.chargesInPart || this.#watch.tariff()?.metered === true;
  }

  reconsider(): Promise<boolean> {
    return this.#watch.reconsider();
  }

  async quote(quantumAtomic: number, pays = ""): Promise<AskedQuote> {
    const asked = await this.#quote(quantumAtomic, pays);
    const { name, payee } = this.#options;
    const payTo = asked.quote?.requirements.payTo.toLowerCase();
    if (payee === undefined || payTo === undefined || payTo === payee) return asked;
    const reason = `seller ${name}: expected terms that pay ${payee}, as its section says, found ${payTo}`;
    return { quote: null, reason, isUnpayable: true };
  }

  async #quote(quantumAtomic: number, pays: string): Promise<AskedQuote> {
    const { tokens } = this.#options;
    const payable = tokens.filter((token) => isPaidBy(pays, token));
    // A device that pays with all of them, or with none, gets the one that is wanted most.
    const wanted = payable.length === tokens.length ? [] : payable;
    const asked = await this.#watch.quote(quantumAtomic, wanted);
    if (asked.quote === null) return asked;
    this.#token = asked.quote.requirements;
    if ((await this.#guards.termsTrouble(asked.quote.requirements)) === "") return asked;
    // The terms are as they were and the chain is not: asked anew, it is looked at until that is over.
    this.#watch.forgetQuotes();
    return this.#watch.quote(quantumAtomic, wanted);
  }

  refused(device: string, reason: string): void {
    if (reason.endsWith(SOLD_OUT)) this.#seller.health.soldOut(reason);
    else this.#seller.health.refused(device, reason);
  }

  status(): SellerStatus {
    const { name, kind, url } = this.#options;
    const { health } = this.#seller;
    const heard = this.#watch.tariff();
    return {
      name,
      kind,
      url,
      standing: health.name,
      reason: health.reason,
      forSeconds: Math.floor((this.#guards.timer.nowMs() - health.sinceMs) / 1000),
      pricePerMillionUnits: heard?.pricePerMillionUnits ?? null,
      network: this.#token.network,
      asset: this.#token.asset,
      unit: heard?.unit ?? null,
      ...this.#seller.load(),
    };
  }

  stop(): void {
    this.#watch.stop();
    this.#seller.stop();
  }
}
