/**
 * What a device makes of a gateway's offers and answers.
 *
 * Promise (T1): counters only move up, and only as far as this device can have signed; whatever was heard
 * before, or speaks of older counters, changes nothing.
 */
import { raiseGrant } from "./credit.ts";
import type { ChannelMark, Grant, Moment, Offer } from "./events.ts";
import { refuseOffer, spentToday } from "./policy.ts";
import { reactionTo, type WireRefusal } from "./refusal.ts";
import {
  answerChannel,
  channelTagOf,
  closedMarkOf,
  nextAttemptMs,
  openChannel,
  type Retry,
  refuseCharged,
  renewChannel,
  settleQuantum,
} from "./rungs.ts";
import type { State } from "./state.ts";

/** Channels remembered after a change of seller; older ones are forgotten with whatever was in flight on them. */
const FORMER_CHANNELS_MAX = 4;

/** Longest pause between two requests for a better offer, in longest retries. */
const ASK_SLOWER = 10;

/** Takes an offer whose tag was right. */
export function takeOffer(state: State, offer: Offer, at: Moment): State {
  const current = state.channel;
  if (offer.revision <= state.offerRevision) {
    return lacksOffer(state) ? state : { ...state, helloAtMs: Infinity };
  }
  const heard = { ...state, offerRevision: offer.revision };
  const answered = { ...heard, helloAtMs: Infinity };

  const same = current !== null && current.id === offer.channelId;
  const refusal = refuseOffer(state.settings.policy, offer);
  if (refusal !== null) {
    const refused = { ...answered, offerRefusal: refusal, halted: state.halted || same };
    // Nobody else knows that this device stands still.
    return refused.halted || current === null ? askForBetterOffer(refused, at) : refused;
  }

  const mark = same ? closedMarkOf(current) : markIn(state.former, offer.channelId);
  const strange = mark === null ? null : refuseCharged(mark, offer.charged);
  // A device without memory of a channel may have signed more than it knows: there a new offer is believed.
  const forgotten = same && !current.remembered && strange === "charged-above-signed";
  // A counter that cannot be is no answer: hello goes on until a better one comes.
  if (strange !== null && !forgotten) return { ...heard, offerRefusal: strange };
  if (same) {
    const renewed = renewChannel(current, offer);
    return adoptChannel({ ...answered, channel: renewed }, forgotten ? renewed.granted : current.granted);
  }

  const channel = openChannel(offer, mark);
  const left = current === null ? [] : [closedMarkOf(current)];
  const former = left.concat(withoutMark(state.former, offer.channelId)).slice(0, FORMER_CHANNELS_MAX);
  // Energy granted on a channel this device has no memory of was consumed in a life it forgot.
  const grantedBefore = mark === null ? channel.granted : mark.granted;
  // After a power cut the budget goes on with its channel; only a real change of channel closes its sum.
  const resumed = current === null && mark !== null && mark === state.former[0];
  const { day } = state.budget;
  const switched = {
    ...answered,
    channel,
    former,
    pending: null,
    persistDue: true,
    budget: resumed
      ? state.budget
      : { day, spentBefore: spentToday(state.budget, signedBefore(state)), signedAtStart: channel.signed },
  };
  return adoptChannel(switched, grantedBefore);
}

/**
 * One that stands still or refused something goes on asking: neither an old offer is an answer to it, nor
 * one whose revision a lie has used up.
 */
function lacksOffer({ channel, halted, offerRefusal, answerRefusal }: State): boolean {
  return channel === null || halted || offerRefusal !== null || answerRefusal !== null;
}

/** What the budget must assume was signed on the channel now left; after a power cut, all its reserve. */
function signedBefore(state: State): number {
  if (state.channel !== null) return state.channel.maybeSigned;
  return state.former.length > 0 ? state.former[0]!.reserved : 0;
}

/** Settles what every accepted offer settles: grants counted, refusals forgotten, an answered rung closed. */
function adoptChannel(state: State, grantedBefore: number): State {
  const channel = settleQuantum(state.channel!);
  const pending =
    state.pending !== null && channel.charged >= state.pending.maxClaimable ? null : state.pending;
  return {
    ...state,
    channel,
    pending,
    halted: false,
    offerRefusal: null,
    answerRefusal: null,
    account: state.account === null ? null : raiseGrant(state.account, grantedBefore, channel.granted),
  };
}

/** Takes an answer whose tag was right. */
export function takeGrant(state: State, grant: Grant, at: Moment): State {
  const channel = state.channel;
  // It names no channel, so it answers a hello, and changes nothing but what this device reports: an offer ends it.
  if (channel === null && grant.channelTag === 0) return { ...state, offerRefusal: grant.refusal };
  if (channel === null || channelTagOf(channel.id) !== grant.channelTag) return takeLateGrant(state, grant);
  // Only what this device signed can have been charged; whoever says otherwise is not believed in anything.
  const strange = refuseCharged(closedMarkOf(channel), grant.charged);
  if (strange !== null) return askForOffer({ ...state, answerRefusal: strange }, at);

  const answered = settleQuantum(answerChannel(channel, grant));
  const account =
    state.account === null ? null : raiseGrant(state.account, channel.granted, answered.granted);
  const next = { ...state, channel: answered, account };
  const pending = state.pending;
  if (pending !== null && answered.charged >= pending.maxClaimable) {
    // It buys again: when an offer is missing the next time, the first question need not wait as the last did.
    return { ...next, pending: null, answerRefusal: null, helloAttempts: 0 };
  }
  if (grant.refusal === null || pending === null) return next;
  // A refusal speaks of the rung after the counters it carries; with older counters it is an echo.
  if (grant.charged >= channel.charged) return takeRefusal(next, grant.refusal, at);
  // Who does not know the channel has no counters of it to send: an echo costs one question more, no money.
  return grant.refusal === "unknown-channel" ? askForOffer(next, at) : next;
}

/**
 * The rung's next attempt was set when it was published and is left alone: a refusal heard a hundred times
 * puts it off no further than one, and an offer at once, of the same channel, brings it no nearer.
 */
function takeRefusal(state: State, refusal: WireRefusal, at: Moment): State {
  const refused = { ...state, answerRefusal: refusal };
  if (reactionTo(refusal) === "halt") return askForOffer({ ...refused, halted: true }, at);
  return refusal === "unknown-channel" ? askForOffer(refused, at) : refused;
}

/** Only an offer can help: says hello again, backing off with each since the link came up or a rung was paid. */
function askForOffer(state: State, at: Moment): State {
  return askWithin(state, at, state.settings.retry);
}

/** Only a better offer than the last can help: what is missing may be missing for hours, so more slowly. */
export function askForBetterOffer(state: State, at: Moment): State {
  const { firstMs, maxMs } = state.settings.retry;
  return askWithin(state, at, { firstMs, maxMs: ASK_SLOWER * maxMs });
}

function askWithin(state: State, at: Moment, retry: Retry): State {
  if (!state.linkUp) return state;
  const attempts = Math.max(1, state.helloAttempts);
  const helloAtMs = nextAttemptMs(retry, attempts, at.nowMs, at.random);
  return { ...state, helloAtMs: Math.min(state.helloAtMs, helloAtMs) };
}

/** A grant of a channel left behind still counts; nothing else of it does. */
function takeLateGrant(state: State, grant: Grant): State {
  if (state.account === null) return state;
  for (const mark of state.former) {
    if (channelTagOf(mark.id) !== grant.channelTag) continue;
    if (grant.charged > mark.reserved || grant.granted <= mark.granted) return state;
    const raised = { ...mark, granted: grant.granted };
    return {
      ...state,
      // In its place: the first of them may be the one that the budget is counted on.
      former: state.former.map((other) => (other === mark ? raised : other)),
      account: raiseGrant(state.account, mark.granted, grant.granted),
      persistDue: true,
    };
  }
  return state;
}

function markIn(marks: readonly ChannelMark[], id: string): ChannelMark | null {
  for (const mark of marks) if (mark.id === id) return mark;
  return null;
}

function withoutMark(marks: readonly ChannelMark[], id: string): ChannelMark[] {
  return marks.filter((mark) => mark.id !== id);
}
