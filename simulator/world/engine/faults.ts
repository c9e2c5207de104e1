/**
 * What can go wrong, by name, and how often it did.
 *
 * Promise: a kind is counted when it takes effect, not when it is drawn; which kinds a world suffers, and
 * how badly, follows from its seed. After `heal` nothing new goes wrong.
 */
import { Watt402Error } from "#payment/watt402-error";
import { CHARGING_FAULTS, type ChargingFault } from "../../charging/charging-faults.ts";
import { type Draw, pick } from "../../city/random.ts";

/** Lies of a gateway or seller in what it offers and answers. */
export const HOSTILE_KINDS = [
  "hostile-scheme",
  "hostile-network",
  "hostile-token",
  "hostile-payee",
  "hostile-unit",
  "hostile-quantum",
  "hostile-price",
  "hostile-channel-id",
  "hostile-charged",
  "hostile-grant",
] as const;
export type HostileKind = (typeof HOSTILE_KINDS)[number];

export const FAULT_KINDS = [
  // network between devices, broker and gateway
  "loss",
  "duplication",
  "reordering",
  "delay",
  "corruption",
  "clog",
  "partition",
  "partition-one-way",
  "broker-restart",
  "stale-retained",
  "forged-publish",
  "foreign-publish",
  "replayed-publish",
  // network between gateway and seller
  "request-lost",
  "request-duplicated",
  "answer-lost",
  "answer-late",
  // disks
  "write-lost",
  "torn-tail",
  "bit-flip",
  "disk-full",
  "sync-failed",
  "disk-slow",
  "old-image",
  "old-ledger",
  "old-accounts",
  // processes
  "device-killed",
  "device-power-cut",
  "device-paused",
  "killed-in-recovery",
  "gateway-killed",
  "gateway-paused",
  "seller-killed",
  "seller-paused",
  // clocks
  "clock-step",
  "clock-drift",
  "clock-frozen",
  // seller, gateway and chain
  ...HOSTILE_KINDS,
  "lying-402",
  "price-change",
  "price-spike",
  "chain-silent",
  "slow-block",
  "reorg",
  "claim-failed",
  "channel-drained",
  "payer-withdraws",
  // meter and signer
  "meter-stuck",
  "meter-spike",
  "meter-silent",
  "meter-roll-over",
  "meter-reset",
  "signer-unavailable",
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number] | ChargingFault;

/** Chance that a world suffers a kind when all are asked for: few at a time go deeper than all at once. */
const ARMED_SHARE = 0.4;

export type FaultChoice = "all" | "none" | readonly FaultKind[];

/** At most so many of a charge point's own faults are one's. */
const CHARGING_FAULTS_MAX = 3;
const CHARGING_FAULT_SHARE = 0.6;

export class Faults {
  private readonly choice: FaultChoice;
  readonly counts = new Map<FaultKind, number>();
  private readonly severities = new Map<FaultKind, number>();
  private readonly random: Draw;
  private healed = false;

  constructor(choice: FaultChoice, random: Draw) {
    this.random = random;
    this.choice = choice;
    const kinds = choice === "all" ? FAULT_KINDS : choice === "none" ? [] : choice;
    for (const kind of kinds) {
      const severity = 0.3 + 1.7 * random();
      if (choice !== "all" || random() < ARMED_SHARE) this.severities.set(kind, severity);
    }
  }

  /** 0 when this world does not suffer the kind, or no more; else 0.3..2. */
  severity(kind: FaultKind): number {
    return this.healed ? 0 : (this.severities.get(kind) ?? 0);
  }

  /** Draws whether a kind takes effect now, and counts it. @param chance at severity 1 */
  strikes(kind: FaultKind, chance: number): boolean {
    const severity = this.severity(kind);
    if (severity === 0 || this.random() >= chance * severity) return false;
    this.fired(kind);
    return true;
  }

  /** What one charge point does wrong. @param draw its own: a world without one is the same */
  drawChargingFaults(draw: Draw): readonly ChargingFault[] {
    const { choice } = this;
    if (choice === "none") return [];
    if (choice !== "all") return CHARGING_FAULTS.filter((kind) => choice.includes(kind));
    const drawn: ChargingFault[] = [];
    while (drawn.length < CHARGING_FAULTS_MAX && draw() < CHARGING_FAULT_SHARE) {
      const kind = pick(CHARGING_FAULTS, draw);
      if (!drawn.includes(kind)) drawn.push(kind);
    }
    return drawn;
  }

  fired(kind: FaultKind): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  /** Faults stop. */
  heal(): void {
    this.healed = true;
  }
}

/** Reads "all", "none" or names between commas. Throws naming the first that is no fault. */
export function readFaultChoice(text: string): FaultChoice {
  if (text === "all" || text === "none") return text;
  return text.split(",").map((name) => {
    const kind = [...FAULT_KINDS, ...CHARGING_FAULTS].find((known) => known === name.trim());
    if (kind === undefined) {
      throw new Watt402Error(
        "config-invalid",
        `expected all, none or kinds of ${[...FAULT_KINDS, ...CHARGING_FAULTS].join(", ")}; found "${name.trim()}"`,
      );
    }
    return kind;
  });
}
