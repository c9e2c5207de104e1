/**
 * What a device makes of a gateway's offers.
 *
 * Promise (T1): counters only move up, and only as far as this device can have signed; whatever was heard
 * before, or speaks of older counters, changes nothing.
 */
import { askForBetterOffer } from "./ask-for-offer.ts";
import { raiseGrant } from "./credit.ts";
import type { ChannelMark, Moment, Offer } from "./events.ts";
import { closePurchase, refuseOffer, spentToday } from "./policy.ts";
import { closedMarkOf, openChannel, refuseCharged, renewChannel, settleQuantum } from "./rungs.ts";
import type { State } from "./state.ts";

/** Channels remembered after a change of seller; older ones are forgotten with whatever was in flight on them. */
const FORMER_CHANNELS_MAX = 4;

/** Takes an offer whose tag was right. */
export function takeOffer(state: State, offer: Offer, at: Moment): State {
  const current = state.channel;
  if (offer.revision <= state.offerRevision) {
    return lacksOffer(state) ? state : { ...state, helloAtMs: Infinity };
  }
  const heard = { ...state, offerRevision: offer.revision };
  const answered = { ...heard, helloAtMs: Infinity };

  const same = current !== null && current.id === offer.channelId;
  const { policy, signsOnDemand } = state.settings;
  const refusal = refuseOffer(policy, offer) || (offer.metered && !signsOnDemand ? "metered-seller" : null);
  if (refusal !== null) {
    const refused = { ...answered, offerRefusal: refusal, halted: state.halted || same };
    // Only this device knows that it has halted.
    return refused.halted || current === null ? askForBetterOffer(refused, at) : refused;
  }

  const mark = same ? closedMarkOf(current) : markIn(state.former, offer.channelId);
  const strange = mark === null ? null : refuseCharged(mark, offer.charged, signsOnDemand);
  // A device without memory of a channel may have signed more than it knows: there a new offer is believed, until a
  // charge of what it signed since shows that both know the same.
  const forgotten = same && !current.remembered && strange === "charged-above-signed";
  // A counter that cannot be is no answer: hello goes on until a better one comes.
  if (strange !== null && !forgotten) return { ...heard, offerRefusal: strange };
  if (same) {
    const renewed = renewChannel(current, offer);
    const pending = renewed.charged > current.charged ? null : state.pending;
    const grantedBefore = forgotten ? renewed.granted : current.granted;
    const budget = closePurchase(state.budget, current, renewed.charged);
    const persistDue = state.persistDue || budget !== state.budget;
    return adoptChannel({ ...answered, channel: renewed, pending, budget, persistDue }, grantedBefore);
  }

  const channel = openChannel(offer, mark);
  const left = current === null ? [] : [closedMarkOf(current)];
  const former = left.concat(withoutMark(state.former, offer.channelId)).slice(0, FORMER_CHANNELS_MAX);
  // Energy granted on a channel this device has no memory of was consumed in a life it forgot.
  const grantedBefore = mark === null ? channel.granted : mark.granted;
  // After a power cut the budget goes on with its channel; only a real change of channel closes its sum.
  const resumed = current === null && mark !== null && mark === state.former[0];
  const { day } = state.budget;
  const { terms } = offer;
  const switched = {
    ...answered,
    channel,
    former,
    pending: null,
    persistDue: true,
    budget: resumed
      ? closePurchase(
          state.budget,
          { terms, charged: mark.charged, maybeSigned: mark.reserved },
          channel.charged,
        )
      : {
          day,
          spentBefore: spentToday(state.budget, signedBefore(state)),
          signedAtStart: terms.scheme === "upto" ? channel.charged : channel.signed,
        },
  };
  return adoptChannel(switched, grantedBefore);
}

/**
 * One that has halted or refused something goes on asking: neither an old offer is an answer to it, nor
 * one whose revision a lie has used up.
 */
function lacksOffer({ channel, halted, offerRefusal, answerRefusal }: State): boolean {
  return channel === null || halted || offerRefusal !== null || answerRefusal !== null;
}

/** What the budget must assume was signed on the channel now left; after a power cut, all its reserve. */
export function signedBefore(state: State): number {
  if (state.channel !== null) return state.channel.maybeSigned;
  return state.former.length > 0 ? state.former[0]!.reserved : 0;
}

/** Settles what every accepted offer settles: grants counted, refusals forgotten, between two purchases the quantum. */
function adoptChannel(state: State, grantedBefore: number): State {
  const offered = state.channel!;
  const channel = state.pending === null ? settleQuantum(offered, state.settings.signsOnDemand) : offered;
  return {
    ...state,
    channel,
    halted: false,
    offerRefusal: null,
    answerRefusal: null,
    account: state.account === null ? null : raiseGrant(state.account, grantedBefore, channel.granted),
  };
}

export function markIn(marks: readonly ChannelMark[], id: string): ChannelMark | null {
  for (const mark of marks) if (mark.id === id) return mark;
  return null;
}

function withoutMark(marks: readonly ChannelMark[], id: string): ChannelMark[] {
  return marks.filter((mark) => mark.id !== id);
}
