/**
 * One simulated streetlight: the real device runtime on a real connection, with a simulated lamp, meter
 * and clock around it, and an observer that believes nothing it says.
 *
 * Promise: what the observer notes comes from the lamp model and the frames on the link; invariants E1,
 * E2 and M1 are checked at every step, and a breach is a violation with both values.
 */
import { performance } from "node:perf_hooks";
import type { Checkpoint, Effect, Event, Payment } from "#core/events";
import type { Settings, State } from "#core/machine";
import type { Journal } from "#core/ports";
import { unitsForQuantum } from "#core/units";
import { type Host, type HostLink, startHost } from "#node/host";
import type { Key } from "#payment/key";
import type { FleetClock } from "./clock.ts";
import { LampModel } from "./lamp-model.ts";
import type { Pole } from "./street.ts";
import type { Violation } from "./violation.ts";

export interface LightParts {
  readonly name: string;
  readonly key: Key;
  readonly pole: Pole;
  readonly settings: Settings;
  readonly clock: FleetClock;
  readonly link: HostLink;
  readonly gatewayPublicKey: Uint8Array;
  /** What one purchase should last for, mWh. */
  readonly wantedUnits: number;
  /** Told of every purchase that begins (true) or ends, with its round trip in real milliseconds. */
  readonly onPurchase: (light: Light, begins: boolean, roundTripMs: number) => void;
}

/** Violations kept of one light: the first ones tell the story. */
const VIOLATIONS_MAX = 8;

export class Light {
  readonly name: string;
  readonly address: string;
  readonly model: LampModel;
  readonly violations: Violation[] = [];
  /** Distinct rungs the seller answered for, and the money of their sum, atomic units. */
  made = 0;
  madeAtomic = 0;
  resent = 0;
  refused = 0;
  /** PAY frames sent and GRANT frames received, repetitions included. */
  framesUp = 0;
  framesDown = 0;
  /** Simulated milliseconds in which the lamp should have shone and did not. */
  starvedMs = 0;
  private readonly parts: LightParts;
  private readonly host: Host;
  private sentAtMs = 0;
  private pending: Payment | null = null;
  private registerSeen = 0;
  private signedMax = 0;
  private readonly signedRungs = new Set<number>();
  private starvedSinceMs: number | null = null;

  constructor(parts: LightParts) {
    this.parts = parts;
    this.name = parts.name;
    this.address = parts.key.address;
    const { pole, clock } = parts;
    this.model = new LampModel(pole.lamp, pole.meter, pole.meterInitial, () => clock.nowMs());
    this.host = startHost({
      settings: parts.settings,
      key: parts.key,
      gatewayPublicKey: parts.gatewayPublicKey,
      clock,
      chainSeconds: () => Date.now() / 1000,
      random: pole.random,
      meter: this.model,
      lamp: this.model,
      journal: memoryJournal(),
      link: parts.link,
      almanac: pole.almanac,
      describe: {
        model: `simulated ${pole.lamp.ratedMilliwatts / 1000} W`,
        firmware: "watt402-simulate",
        meter: pole.meter.name,
        unit: parts.settings.policy.unit,
        wantedUnits: parts.wantedUnits,
      },
      observe: (event, effects, state) => this.observe(event, effects, state),
    });
  }

  state(): State {
    return this.host.state();
  }

  stop(): Promise<void> {
    return this.host.stop();
  }

  /** Energy the meter has counted since the beginning, mWh. */
  consumedUnits(): number {
    const { register, account } = this.state();
    return account === null ? 0 : register.total - account.registerAtOpen;
  }

  /** Units credited over all channels, mWh. */
  grantedUnits(): number {
    return this.state().account?.granted ?? 0;
  }

  /** The highest amount this light has signed, as seen on its way to the link, atomic units. */
  signed(): number {
    return this.signedMax;
  }

  /** Where seller and chain keep this light's money: its channel, or for exact its own address. */
  accountId(): string {
    const channel = this.state().channel;
    return channel === null || channel.terms.scheme === "exact" ? this.address : channel.id;
  }

  /** Money of the rung whose answer is still missing, when the seller's charge shows that it went through. */
  unanswered(charged: number): number {
    return this.pending !== null && charged >= this.pending.maxClaimable ? this.pending.amountAtomic : 0;
  }

  private observe(event: Event, effects: readonly Effect[], state: State): void {
    this.watchEnergy(state);
    if (event.type === "grant") {
      this.framesDown++;
      if (event.grant.refusal !== null) this.refused++;
    }
    this.watchPurchase(effects, state);
    this.watchStarvation(state);
  }

  private watchEnergy(state: State): void {
    if (state.register.total < this.registerSeen) {
      this.breach("E1", `register >= ${this.registerSeen}`, String(state.register.total));
    }
    this.registerSeen = state.register.total;
    const channel = state.channel;
    if (channel === null || state.account === null) return;
    const quantum = unitsForQuantum(channel.quantumAtomic, Math.max(1, channel.pricePerMillionUnits));
    const allowed = state.account.granted + quantum;
    const delivered = this.model.deliveredMilliwattHours();
    if (delivered > allowed) this.breach("E2", `delivered <= ${allowed} mWh`, `${delivered.toFixed(3)} mWh`);
  }

  private watchPurchase(effects: readonly Effect[], state: State): void {
    if (this.pending !== null && state.channel !== null) {
      if (state.channel.charged >= this.pending.maxClaimable) this.endPurchase(this.pending);
    }
    for (const effect of effects) if (effect.type === "pay") this.beginPurchase(effect.payment);
  }

  private beginPurchase(payment: Payment): void {
    const { maxClaimable, again } = payment;
    this.framesUp++;
    if (again) this.resent++;
    if (maxClaimable < this.signedMax && !this.signedRungs.has(maxClaimable)) {
      this.breach("M1", `a rung above ${this.signedMax}, or one signed before`, String(maxClaimable));
    }
    this.signedMax = Math.max(this.signedMax, maxClaimable);
    this.signedRungs.add(maxClaimable);
    if (this.pending?.maxClaimable === maxClaimable) return;
    this.pending = payment;
    this.sentAtMs = performance.now();
    this.parts.onPurchase(this, true, 0);
  }

  private endPurchase(payment: Payment): void {
    this.made++;
    this.madeAtomic += payment.amountAtomic;
    this.pending = null;
    // A rung that was charged can only be a repetition of itself from now on.
    for (const rung of this.signedRungs) if (rung < payment.maxClaimable) this.signedRungs.delete(rung);
    this.parts.onPurchase(this, false, performance.now() - this.sentAtMs);
  }

  private watchStarvation(state: State): void {
    const now = this.parts.clock.nowMs();
    const starved = state.wantedPercent > 0 && state.levelPercent === 0;
    if (this.starvedSinceMs !== null) this.starvedMs += now - this.starvedSinceMs;
    this.starvedSinceMs = starved ? now : null;
  }

  private breach(invariant: Violation["invariant"], expected: string, actual: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    this.violations.push({ invariant, light: this.name, expected, actual });
  }
}

/** A journal that is as durable as the process: simulated lights are born with their run. */
function memoryJournal(): Journal {
  let stored: string | null = null;
  return {
    load: () => (stored === null ? null : (JSON.parse(stored) as Checkpoint)),
    store(checkpoint, done) {
      stored = JSON.stringify(checkpoint);
      done(null);
    },
  };
}
