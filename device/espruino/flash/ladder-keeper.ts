/**
 * The board's signer: takes rungs from the ladder, and signs the next ones when there is time.
 *
 * Promise: while the lamp is dark it signs as many rungs as the coming night needs, within the day's budget,
 * the deposit and the flash. A night longer than its ladder goes on: with fewer than LIT_RUNGS in store it
 * signs while lit, one rung at a time and slowly. Releasing needs no curve and no keccak.
 */
import type { State } from "#core/machine";
import type { Signer, SigningRequest } from "#core/ports";
import { ladderLength, minutesOfLight, type Night } from "./ladder-length.ts";
import type { LadderStore } from "./ladder-store.ts";

/** Signs one rung in slices: `createVoucherSigner`. */
export interface SlicedSigner {
  start(
    channelId: Uint8Array,
    maxClaimableAtomic: number,
  ): {
    step(): boolean;
    signature(): Uint8Array;
  };
}

interface KeeperParts {
  readonly store: LadderStore;
  readonly signer: SlicedSigner;
  /** Longest time the lamp is expected to be lit, milliseconds. */
  readonly longestNightMs: number;
  /** A rung signed where the board was flashed; null for all others. */
  readonly presigned: (channelId: string, amount: number) => Uint8Array | null;
  /** Called when there may be something to sign. */
  readonly wake: () => void;
}

/** Rungs kept in store while the lamp is lit: the one to be released next, and one being signed. */
const LIT_RUNGS = 2;

interface Rung {
  readonly channelId: string;
  readonly amount: number;
}

export class LadderKeeper implements Signer {
  private readonly parts: KeeperParts;
  private state: State | null = null;
  private job: { readonly rung: Rung; readonly run: ReturnType<SlicedSigner["start"]> } | null = null;
  /** A rung that the machine asked for and that is not in store. */
  private wanted: Rung | null = null;
  /** One that the flash had no place for. */
  private spare: { readonly rung: Rung; readonly signature: Uint8Array } | null = null;
  private fault: string | null = null;
  /** Rungs signed here since the start. */
  signed = 0;

  constructor(parts: KeeperParts) {
    this.parts = parts;
  }

  /** Looks at the device after each of its steps. */
  follow(state: State): void {
    const before = this.state === null ? null : this.state.channel;
    this.state = state;
    const channel = state.channel;
    if (channel === null) return;
    const isSame =
      before !== null &&
      before.id === channel.id &&
      before.charged === channel.charged &&
      before.quantumAtomic === channel.quantumAtomic;
    if (!isSame) {
      const { id, quantumAtomic, charged } = channel;
      this.parts.store.follow({ channelId: id, quantumAtomic, charged });
      if (before === null || before.id !== id || before.quantumAtomic !== quantumAtomic) this.job = null;
    }
    this.parts.wake();
  }

  sign(request: SigningRequest, done: (signature: Uint8Array | null) => void): void {
    const rung = { channelId: request.channelId, amount: request.maxClaimable };
    const stored = this.isPresent(rung.channelId) ? this.parts.store.release(rung.amount) : null;
    if (stored !== null) {
      done(stored);
      return;
    }
    if (this.spare !== null && isSame(this.spare.rung, rung)) {
      done(this.spare.signature);
      return;
    }
    this.wanted = rung;
    this.parts.wake();
    done(null);
  }

  /** Signs for one slice; false when nothing is to be signed now. */
  step(): boolean {
    if (this.job === null) {
      const rung = this.next();
      if (rung === null) return false;
      const known = this.parts.presigned(rung.channelId, rung.amount);
      if (known !== null) {
        this.keep(rung, known);
        return true;
      }
      this.job = { rung, run: this.parts.signer.start(bytesOfId(rung.channelId), rung.amount) };
    }
    const { rung, run } = this.job;
    if (!run.step()) return true;
    this.job = null;
    this.signed++;
    this.keep(rung, run.signature());
    return true;
  }

  /** What is in store, for the device's state; null without a channel. */
  report(): { ladderRungs: number; ladderMinutes: number } | null {
    const night = this.night();
    if (night === null) return null;
    const ladderRungs = this.parts.store.ready();
    return { ladderRungs, ladderMinutes: minutesOfLight(ladderRungs, night) };
  }

  /** Why rungs are not kept; null when they are. */
  trouble(): string | null {
    return this.fault;
  }

  private keep(rung: Rung, signature: Uint8Array): void {
    const { store } = this.parts;
    if (this.wanted !== null && isSame(this.wanted, rung)) this.wanted = null;
    const isNext = this.isPresent(rung.channelId) && rung.amount === store.top() + this.quantum();
    const fault = isNext ? store.put(rung.amount, signature) : null;
    if (isNext) this.fault = fault;
    if (!isNext || fault !== null) this.spare = { rung, signature };
  }

  /** The rung to be signed next; null when there are enough, or no place for more. */
  private next(): Rung | null {
    const state = this.state;
    if (state === null || state.channel === null) return null;
    const { channel } = state;
    const { store } = this.parts;
    const wanted = this.wanted;
    if (wanted !== null && wanted.channelId === channel.id && wanted.amount > channel.charged) {
      if (!store.has(wanted.amount)) return wanted;
    }
    const isDark = state.levelPercent === 0 && state.wantedPercent === 0;
    const rungs = Math.min(isDark ? this.nightRungs() : LIT_RUNGS, this.affordable(state));
    const amount = store.top() + channel.quantumAtomic;
    if (amount > channel.charged + rungs * channel.quantumAtomic) return null;
    if (store.room() === 0 && !(isDark && store.giveUpPage())) {
      // Without a place in flash one may wait in memory.
      const rung = { channelId: channel.id, amount };
      const isNear = amount <= channel.charged + LIT_RUNGS * channel.quantumAtomic;
      return isNear && (this.spare === null || !isSame(this.spare.rung, rung)) ? rung : null;
    }
    return { channelId: channel.id, amount: store.top() + channel.quantumAtomic };
  }

  private nightRungs(): number {
    const night = this.night();
    return night === null ? 0 : ladderLength(night);
  }

  /** Rungs within deposit and one day's budget: a thief of the board can spend stored ones. */
  private affordable(state: State): number {
    const { balance, charged, quantumAtomic } = state.channel!;
    const budget = state.settings.policy.dailyBudgetAtomic;
    return Math.floor(Math.min(balance - charged, budget) / quantumAtomic);
  }

  private night(): Night | null {
    if (this.state === null || this.state.channel === null) return null;
    const { quantumAtomic, pricePerMillionUnits } = this.state.channel;
    const { ratedMilliwatts } = this.state.settings;
    return { longestMs: this.parts.longestNightMs, ratedMilliwatts, quantumAtomic, pricePerMillionUnits };
  }

  private quantum(): number {
    return this.state === null || this.state.channel === null ? 0 : this.state.channel.quantumAtomic;
  }

  private isPresent(channelId: string): boolean {
    return this.state !== null && this.state.channel !== null && this.state.channel.id === channelId;
  }
}

function isSame(left: Rung, right: Rung): boolean {
  return left.channelId === right.channelId && left.amount === right.amount;
}

function bytesOfId(channelId: string): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let i = 0; i < 32; i++) bytes[i] = parseInt(channelId.substr(2 + 2 * i, 2), 16);
  return bytes;
}
