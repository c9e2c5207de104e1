/**
 * What a device is at any moment: the machine's state, its birth from a checkpoint and the views of it.
 *
 * Promise: a checkpoint and the settings are all that a device needs to go on after a power cut.
 */
import { type Account, creditOf } from "./credit.ts";
import type { Budget, ChannelMark, Checkpoint, PlanStep, Report } from "./events.ts";
import type { Policy } from "./policy.ts";
import type { LoadRefusal, Refusal } from "./refusal.ts";
import { type MeterLimits, NEW_REGISTER, type Register } from "./register.ts";
import { type Channel, markOf, type Pending, type Retry } from "./rungs.ts";

export interface Settings {
  /** Of several the one in force: that of the channel's token. */
  readonly policy: Policy;
  /** Where a device may pay with several tokens, the policy of each; host/several-tokens.ts chooses among them. */
  readonly policies?: readonly Policy[];
  readonly meter: MeterLimits;
  /** Power at full light, milliwatts: what the device assumes when the meter says nothing. */
  readonly ratedMilliwatts: number;
  /** Buy when credit falls below this many thousandths of what one quantum buys, 1..10000. */
  readonly lowMarkPermille: number;
  readonly retry: Retry;
  /** Longest time between two looks at the meter, milliseconds. */
  readonly tickMs: number;
  /** Time between two telemetry readings, milliseconds. */
  readonly readingMs: number;
  /**
   * The host signs each voucher when it is needed, so a seller may charge less than was signed. False where a ladder
   * is signed ahead: it fits only sellers that charge whole quanta.
   */
  readonly signsOnDemand: boolean;
  /** Level while the wall clock is not trusted and no plan can be followed, 0..100 per cent. */
  readonly levelWithoutClock: number;
}

export interface State {
  readonly settings: Settings;
  readonly register: Register;
  /** Units probably used since the register last moved: a silent, stuck or coarse meter hides them. */
  readonly estimatedUnits: number;
  readonly powerMilliwatts: number;
  /** Until when `estimatedUnits` was reckoned, monotonic milliseconds. */
  readonly reckonedAtMs: number;
  /** When a reading was last believed; -Infinity while none was since power-up. */
  readonly countedAtMs: number;
  readonly meterRefusal: Refusal | null;
  readonly account: Account | null;
  readonly channel: Channel | null;
  /** Channels left behind, latest first: their late grants still count. */
  readonly former: readonly ChannelMark[];
  readonly pending: Pending | null;
  readonly budget: Budget;
  readonly plan: readonly PlanStep[];
  readonly wantedPercent: number;
  readonly levelPercent: number;
  readonly linkUp: boolean;
  /** When to say hello again while no offer came; Infinity once one did. */
  readonly helloAtMs: number;
  readonly helloAttempts: number;
  /** Of the latest offer checked since power-up, taken or refused: an older one is an echo. */
  readonly offerRevision: number;
  /** The channel said stop: wait for a newer offer. */
  readonly halted: boolean;
  readonly offerRefusal: Refusal | null;
  readonly answerRefusal: Refusal | null;
  readonly hostRefusal: Refusal | null;
  /** While the load does not follow, what it is paid for would not be delivered; one that breaks limits is paid for no more. */
  readonly lampRefusal: LoadRefusal | null;
  readonly persistDue: boolean;
  readonly readingAtMs: number;
  readonly reported: string;
}

/** The state of a device at power-up. Without a checkpoint it is new-born. */
export function bootMachine(settings: Settings, checkpoint: Checkpoint | null): State {
  return {
    settings,
    register: checkpoint === null ? NEW_REGISTER : checkpoint.register,
    estimatedUnits: 0,
    powerMilliwatts: 0,
    reckonedAtMs: 0,
    countedAtMs: -Infinity,
    meterRefusal: null,
    account: checkpoint === null ? null : checkpoint.account,
    channel: null,
    former: checkpoint === null ? [] : checkpoint.channels,
    pending: null,
    budget: checkpoint === null ? { day: 0, spentBefore: 0, signedAtStart: 0 } : checkpoint.budget,
    plan: [],
    wantedPercent: 0,
    levelPercent: 0,
    linkUp: false,
    helloAtMs: Infinity,
    helloAttempts: 0,
    offerRevision: 0,
    halted: false,
    offerRefusal: null,
    answerRefusal: null,
    hostRefusal: null,
    lampRefusal: null,
    persistDue: false,
    readingAtMs: -Infinity,
    reported: "",
  };
}

/** True once the meter was believed since power-up; before, what was used since the checkpoint is unknown. */
export function isCounting(state: State): boolean {
  return state.countedAtMs > -Infinity;
}

/** Units the device may still consume, by the register and what the meter may be hiding. */
export function creditLeft(state: State): number {
  if (state.account === null || !isCounting(state)) return 0;
  return creditOf(state.account, state.register.total + Math.floor(state.estimatedUnits));
}

/** The checkpoint that the present state would need after a power cut. */
export function finalCheckpoint(state: State): Checkpoint {
  const present = state.channel === null ? [] : [markOf(state.channel)];
  return {
    register: state.register,
    account: state.account,
    channels: present.concat(state.former.slice()),
    budget: state.budget,
  };
}

/** What the outside may know of the device now. */
export function reportOf(state: State): Report {
  const channel = state.channel;
  const credit = creditLeft(state);
  return {
    register: state.register.total,
    credit,
    powerMilliwatts: state.powerMilliwatts,
    levelPercent: state.levelPercent,
    wantedPercent: state.wantedPercent,
    starved: state.wantedPercent > 0 && credit <= 0,
    refusal:
      state.hostRefusal ||
      state.lampRefusal ||
      state.meterRefusal ||
      state.offerRefusal ||
      state.answerRefusal,
    channelId: channel === null ? null : channel.id,
    charged: channel === null ? 0 : channel.charged,
    maxClaimable: channel === null ? 0 : channel.signed,
    granted: state.account === null ? 0 : state.account.granted,
    epoch: state.register.epoch,
  };
}
