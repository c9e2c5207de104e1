/**
 * Whether the gateway can do its work, each part with a reason when it cannot.
 *
 * Promise: asking is cheap and never hangs: what takes time was found out before, on a timer.
 */

import { statfs } from "node:fs/promises";
import { isSelling } from "../sellers/seller-health.ts";
import type { SellerStatus } from "../sellers/seller-status.ts";
import type { Answer } from "./answers.ts";

export type Checks = Answer<"Ready">["checks"];
type Check = Answer<"Check">;

const GOOD: Check = { isGood: true, reason: "" };

/** Less free room than this, and the ledger is about to fail. */
const ROOM_MIN_BYTES = 64 * 1024 * 1024;

/** Farther than this between two looks, and somebody set the clock: a payment's validity hangs on it. */
const STEP_MAX_SECONDS = 60;

/** No gateway of this version ran before. */
const EARLIEST_SECONDS = Date.UTC(2026, 0, 1) / 1000;

export interface HealthParts {
  readonly brokerIsUp: () => boolean;
  /** What is to be known of a broker that works; empty when nothing is. */
  readonly brokerWarning: () => string;
  /** Why the duty among several gateways is not as it should be; empty when it is. */
  readonly dutyTrouble: () => string;
  readonly sellers: () => readonly Pick<SellerStatus, "name" | "standing" | "reason">[];
  /** Balance of the treasury, atomic units; rejects while the chain does not answer. */
  readonly treasuryAtomic: () => Promise<number>;
  readonly dataFolder: string;
  readonly wallSeconds: () => number;
  readonly monotonicSeconds: () => number;
}

export interface Health {
  checks(): Checks;
  isReady(): boolean;
  /** Null until the chain answered, and while it does not. */
  readonly treasuryAtomic: number | null;
  ledgerCommitted(isGood: boolean): void;
  /** Asks chain, disk and clock; to be called every half minute. Never rejects. */
  look(): Promise<void>;
}

export function openHealth(parts: HealthParts): Health {
  const offset = () => parts.wallSeconds() - parts.monotonicSeconds();
  let offsetBefore = offset();
  let treasuryAtomic: number | null = null;
  let commit = GOOD;
  let disk = GOOD;
  let clock = GOOD;
  let chain: Check = { isGood: false, reason: "the chain has not answered yet" };

  async function lookAtChain(): Promise<void> {
    try {
      treasuryAtomic = await parts.treasuryAtomic();
      chain = GOOD;
    } catch (error) {
      treasuryAtomic = null;
      chain = bad(`the node does not answer: ${firstLine(error)}`);
    }
  }

  async function lookAtDisk(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(parts.dataFolder);
      const room = bavail * bsize;
      disk =
        room >= ROOM_MIN_BYTES
          ? GOOD
          : bad(`expected ${ROOM_MIN_BYTES} bytes free in ${parts.dataFolder}, found ${room}`);
    } catch (error) {
      disk = bad(`${parts.dataFolder}: ${firstLine(error)}`);
    }
  }

  function lookAtClock(): void {
    const wall = parts.wallSeconds();
    const step = offset() - offsetBefore;
    offsetBefore = offset();
    if (wall < EARLIEST_SECONDS) {
      clock = bad(`expected a time after 2026-01-01, found ${new Date(wall * 1000).toISOString()}`);
    } else if (Math.abs(step) > STEP_MAX_SECONDS) {
      clock = bad(`the clock was set by ${Math.round(step)} s since the last look`);
    } else clock = GOOD;
  }

  const health: Health = {
    checks() {
      const trouble = parts.dutyTrouble();
      const duty = trouble === "" ? GOOD : bad(trouble);
      const broker = parts.brokerIsUp()
        ? { isGood: true, reason: parts.brokerWarning() }
        : bad("not connected to the broker");
      return {
        broker,
        seller: sellerCheck(parts.sellers()),
        ledger: commit.isGood ? disk : commit,
        clock,
        chain,
        duty,
      };
    },
    isReady: () => Object.values(health.checks()).every(({ isGood }) => isGood),
    get treasuryAtomic() {
      return treasuryAtomic;
    },
    ledgerCommitted(isGood) {
      commit = isGood ? GOOD : bad("the last payment could not be written");
    },
    async look() {
      lookAtClock();
      await Promise.all([lookAtChain(), lookAtDisk()]);
    },
  };
  return health;
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
