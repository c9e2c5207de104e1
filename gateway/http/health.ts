/**
 * Whether the gateway can do its work, each part with a reason when it cannot.
 *
 * Promise: asking is cheap and never hangs: what takes time is found out before, on a timer.
 */

import { statfs } from "node:fs/promises";
import type { PaymentToken } from "#protocol/payment-token";
import { isSelling } from "../sellers/seller-health.ts";
import type { SellerStatus } from "../sellers/seller-status.ts";
import type { TreasuryBalance } from "../telemetry/alarms.ts";
import type { Answer } from "./answers.ts";

export type Checks = Answer<"Ready">["checks"];
type Check = Answer<"Check">;

const GOOD: Check = { isGood: true, reason: "" };

/** With less free room the ledger is about to fail. */
const ROOM_MIN_BYTES = 64 * 1024 * 1024;

/** A larger step between two looks means that the clock was set: a payment's validity depends on it. */
const STEP_MAX_SECONDS = 60;

/** This version did not exist before. */
const EARLIEST_SECONDS = Date.UTC(2026, 0, 1) / 1000;

type WatchedToken = Omit<TreasuryBalance, "balanceAtomic">;

interface HealthParts {
  readonly brokerIsUp: () => boolean;
  /** What an operator should know of a broker that works; empty when nothing. */
  readonly brokerWarning: () => string;
  /** Why this member of the cluster cannot do its work; empty when it can. */
  readonly clusterTrouble: () => string;
  readonly sellers: () => readonly Pick<SellerStatus, "name" | "standing" | "reason">[];
  /** Tokens that sellers take. */
  readonly tokens: readonly WatchedToken[];
  /** The treasury's balance of a token, atomic units; rejects while its chain does not answer. */
  readonly treasuryAtomic: (token: PaymentToken) => Promise<number>;
  readonly dataFolder: string;
  readonly wallSeconds: () => number;
  readonly monotonicSeconds: () => number;
}

export class Health {
  readonly #parts: HealthParts;
  #clockOffset: number;
  #treasury: readonly TreasuryBalance[];
  #commit = GOOD;
  #disk = GOOD;
  #clock = GOOD;
  #chain = bad("the chain has not answered yet");

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.#treasury = parts.tokens.map((token) => balanceOf(token, null));
    this.#clockOffset = this.#offset();
  }

  /** In the order of the sellers; without a balance until a token's chain answered, and while it does not. */
  get treasury(): readonly TreasuryBalance[] {
    return this.#treasury;
  }

  checks(): Checks {
    const { brokerIsUp, brokerWarning, clusterTrouble, sellers } = this.#parts;
    const trouble = clusterTrouble();
    return {
      broker: brokerIsUp() ? { isGood: true, reason: brokerWarning() } : bad("not connected to the broker"),
      seller: sellerCheck(sellers()),
      ledger: this.#commit.isGood ? this.#disk : this.#commit,
      clock: this.#clock,
      chain: this.#chain,
      duty: trouble === "" ? GOOD : bad(trouble),
    };
  }

  isReady(): boolean {
    return Object.values(this.checks()).every(({ isGood }) => isGood);
  }

  ledgerCommitted(isGood: boolean): void {
    this.#commit = isGood ? GOOD : bad("the last payment could not be written");
  }

  /** Asks chain, disk and clock; to be called every half minute. Never rejects. */
  async look(): Promise<void> {
    this.#lookAtClock();
    await Promise.all([this.#lookAtChain(), this.#lookAtDisk()]);
  }

  async #lookAtChain(): Promise<void> {
    const { tokens, treasuryAtomic } = this.#parts;
    const asked = await Promise.allSettled(tokens.map(treasuryAtomic));
    this.#treasury = tokens.map((token, index) => {
      const answer = asked[index]!;
      return balanceOf(token, answer.status === "fulfilled" ? answer.value : null);
    });
    const silent = asked.flatMap((answer, index) =>
      answer.status === "fulfilled" ? [] : [{ ...tokens[index]!, reason: firstLine(answer.reason) }],
    );
    if (silent.length === asked.length) this.#chain = bad(`the node does not answer: ${silent[0]!.reason}`);
    // What is paid on the others goes on.
    else {
      const reasons = silent.map(
        ({ network, reason }) => `the node of ${network} does not answer: ${reason}`,
      );
      this.#chain = { isGood: true, reason: reasons.join("; ") };
    }
  }

  async #lookAtDisk(): Promise<void> {
    const { dataFolder } = this.#parts;
    try {
      const { bavail, bsize } = await statfs(dataFolder);
      const room = bavail * bsize;
      this.#disk =
        room >= ROOM_MIN_BYTES
          ? GOOD
          : bad(`expected ${ROOM_MIN_BYTES} bytes free in ${dataFolder}, found ${room}`);
    } catch (error) {
      this.#disk = bad(`${dataFolder}: ${firstLine(error)}`);
    }
  }

  #lookAtClock(): void {
    const wall = this.#parts.wallSeconds();
    const step = this.#offset() - this.#clockOffset;
    this.#clockOffset += step;
    if (wall < EARLIEST_SECONDS) {
      this.#clock = bad(`expected a time after 2026-01-01, found ${new Date(wall * 1000).toISOString()}`);
    } else if (Math.abs(step) > STEP_MAX_SECONDS) {
      this.#clock = bad(`the clock was set by ${Math.round(step)} s since the last look`);
    } else this.#clock = GOOD;
  }

  /** How far the wall clock is ahead of the monotonic one. */
  #offset(): number {
    return this.#parts.wallSeconds() - this.#parts.monotonicSeconds();
  }
}

function balanceOf(
  { network, asset, lowBalanceAtomic }: WatchedToken,
  balanceAtomic: number | null,
): TreasuryBalance {
  return { network, asset, balanceAtomic, lowBalanceAtomic };
}

/** One that sells is enough to take payments. */
function sellerCheck(sellers: ReturnType<HealthParts["sellers"]>): Check {
  if (sellers.some(({ standing }) => isSelling(standing))) return GOOD;
  return bad(sellers.map(({ name, reason }) => `${name}: ${reason}`.slice(0, 300)).join("; "));
}

function bad(reason: string): Check {
  return { isGood: false, reason };
}

function firstLine(error: unknown): string {
  const shown = error instanceof Error ? error.message : String(error);
  return shown.split("\n")[0]!.slice(0, 200);
}
