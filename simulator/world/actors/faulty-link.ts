/**
 * HTTP between the gateway and the seller, with everything that befalls requests and answers.
 *
 * Promise: a call settles with the seller's answer or, after a while, with "unavailable"; the seller may
 * have acted on it either way, and even twice.
 */

import type { PaymentPayload } from "@x402/core/types";
import type { Answer, Http } from "#gateway/sellers/client/seller-http";
import { parseJson } from "#protocol/nesting";
import type { Draw } from "../../city/random.ts";
import type { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { World } from "../engine/world.ts";
import type { Seller } from "./seller.ts";

const HOP_MS = 15;
export const TIMEOUT_MS = 20_000;
/** How much a lying 402 adds to what was charged, atomic units. */
const LIE_ATOMIC = 100;

export class FaultyLink {
  private readonly world: World;
  private readonly faults: Faults;
  private readonly random: Draw;
  private readonly seller: () => Seller;

  constructor(world: World, faults: Faults, seller: () => Seller) {
    this.world = world;
    this.faults = faults;
    this.random = world.stream("road");
    this.seller = seller;
  }

  /** The client of one gateway process. @param calling called at every call */
  from(life: ProcessLifetime, calling: () => void): Http {
    return {
      call: (method, url, payment) => {
        calling();
        return this.call(life, method, new URL(url), textOf(payment));
      },
      close: () => Promise.resolve(),
    };
  }

  /** @param payment JSON: what travels is text, and nothing is shared between the two programs */
  private call(life: ProcessLifetime, method: string, url: URL, payment: string | null): Promise<Answer> {
    return new Promise((resolve) => {
      let open = true;
      const finish = (answer: Answer) => {
        if (!open) return;
        open = false;
        giveUp();
        this.world.touch();
        resolve(answer);
      };
      const late = { kind: "unavailable", reason: "timeout" } as const;
      const giveUp = life.after(TIMEOUT_MS, () =>
        finish(payment === null ? late : { ...late, isUnknown: true }),
      );
      if (this.faults.strikes("request-lost", 0.04)) return;
      const answered = (answer: Answer) => life.after(this.hopMs(), () => finish(answer));
      this.send(method, url, payment, answered);
      if (payment !== null && this.faults.strikes("request-duplicated", 0.08)) {
        this.send(method, url, payment, () => {});
      }
    });
  }

  private send(method: string, url: URL, payment: string | null, done: (answer: Answer) => void): void {
    this.world.after(this.hopMs(), () => {
      const seller = this.seller();
      const life = seller.serving;
      if (life === null) return done({ kind: "unavailable", reason: "connection refused" });
      life.soon(() => {
        this.world.touch();
        const arrived = payment === null ? null : (parseJson(payment) as PaymentPayload);
        const quantum = Number(url.searchParams.get("quantum"));
        void seller.handle(method, url.pathname, quantum, arrived).then((answer) => this.back(answer, done));
      });
    });
  }

  private back(answer: Answer, done: (answer: Answer) => void): void {
    if (this.faults.strikes("answer-lost", 0.06)) return;
    const lateMs = this.faults.strikes("answer-late", 0.04) ? TIMEOUT_MS * 1.5 * this.random() : 0;
    const received = this.bent(answer);
    this.world.after(lateMs, () => done(received));
  }

  /** A corrective 402 that lies about what was charged. */
  private bent(answer: Answer): Answer {
    if (answer.kind !== "payment-required") return answer;
    const [accept] = answer.required.accepts;
    const state = accept?.extra.channelState as { chargedCumulativeAmount: string } | undefined;
    if (accept === undefined || state === undefined || !this.faults.strikes("lying-402", 0.5)) return answer;
    const lie = Number(state.chargedCumulativeAmount) + LIE_ATOMIC * (this.random() < 0.5 ? 1 : 1000);
    const extra = { ...accept.extra, channelState: { chargedCumulativeAmount: String(lie) } };
    return { ...answer, required: { ...answer.required, accepts: [{ ...accept, extra }] } };
  }

  private hopMs(): number {
    return HOP_MS * (0.3 + this.random());
  }
}

/** A payload or the header it made, as the seller reads it. */
function textOf(payment: PaymentPayload | string | null): string | null {
  if (payment === null) return null;
  return typeof payment === "string" ? Buffer.from(payment, "base64").toString() : JSON.stringify(payment);
}
