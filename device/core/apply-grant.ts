/**
 * What a device makes of a gateway's answers.
 *
 * Promise (T1): counters only move up, and only as far as this device can have signed; whatever was heard
 * before, or speaks of older counters, changes nothing.
 */
import { askForOffer } from "./ask-for-offer.ts";
import { raiseGrant } from "./credit.ts";
import type { Grant, Moment } from "./events.ts";
import { closePurchase } from "./policy.ts";
import { reactionTo, type WireRefusal } from "./refusal.ts";
import { answerChannel, channelTagOf, closedMarkOf, refuseCharged, settleQuantum } from "./rungs.ts";
import type { State } from "./state.ts";

/** Takes an answer whose tag was right. */
export function takeGrant(state: State, grant: Grant, at: Moment): State {
  const channel = state.channel;
  // It names no channel, so it answers a hello, and changes nothing but what this device reports: an offer ends it.
  if (channel === null && grant.channelTag === 0) return { ...state, offerRefusal: grant.refusal };
  if (channel === null || channelTagOf(channel.id) !== grant.channelTag) return takeLateGrant(state, grant);
  // Only what this device signed can have been charged; a grant that says otherwise is ignored as a whole.
  const { signsOnDemand } = state.settings;
  const strange = refuseCharged(closedMarkOf(channel), grant.charged, signsOnDemand);
  if (strange !== null) return askForOffer({ ...state, answerRefusal: strange }, at);

  const answered = answerChannel(channel, grant);
  const account =
    state.account === null ? null : raiseGrant(state.account, channel.granted, answered.granted);
  const pending = answered.charged > channel.charged ? null : state.pending;
  const settled = pending === null ? settleQuantum(answered, signsOnDemand) : answered;
  const budget = closePurchase(state.budget, channel, answered.charged);
  const persistDue = state.persistDue || budget !== state.budget;
  const next = { ...state, channel: settled, account, pending, budget, persistDue };
  // It buys again: when an offer is missing the next time, the first question need not wait as the last did.
  if (pending !== state.pending) return { ...next, answerRefusal: null, helloAttempts: 0 };
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
