/**
 * A device that may pay with several tokens: the machine, with the policy and the day's budget of the token in use.
 *
 * Promise (P1): each token has a policy and a day's budget of its own, as amounts of different tokens cannot be
 * compared. What is signed on a channel is held against those of the channel's token; a budget that was left goes on
 * where it stood, whatever power cuts lie between. An offer that is not taken changes neither.
 */
import { markIn, signedBefore } from "#core/apply-offer";
import type { Budget, Event, Moment, Offer, OtherBudget } from "#core/events";
import { finalCheckpoint, type Settings, type State, type Step, stepMachine } from "#core/machine";
import { type Policy, refuseOffer, spentToday } from "#core/policy";
import type { DeviceRefusal } from "#core/refusal";
import { refuseCharged } from "#core/rungs";
import { COUNTER_MAX } from "#core/units";
import { isSameToken, type PaymentToken, tokenName } from "#protocol/payment-token";

/** Tokens that one device may pay with: their names fit a hello. */
export const TOKENS_MAX = 7;

/** Budgets kept of other tokens, those of a policy before the present one too. */
const OTHERS_MAX = 2 * TOKENS_MAX;

/** Before any clock was heard: what was signed then belongs to the first day. */
const NO_DAY = 0;

/** Takes one event. Pure, as the machine is; of one token it is the machine alone, to the bytes of its checkpoints. */
export function stepTokens(before: State, event: Event): Step {
  const { settings, budget } = before;
  if (settings.policies === undefined && budget.token === undefined) return stepMachine(before, event);
  const isNew = event.type === "offer" && event.offer.revision > before.offerRevision;
  return isNew
    ? hearOffer(before, event.offer, event.at)
    : withNames(stepMachine(before, event), budget, budget.token);
}

/** The policy of a token; of several that do not fit the nearest: on the same network, or the first. */
export function policyFor(settings: Settings, token: PaymentToken): Policy {
  const policies = policiesOf(settings);
  for (const policy of policies) if (isSameToken(policy, token)) return policy;
  for (const policy of policies) if (policy.network === token.network) return policy;
  return policies[0]!;
}

/** The first rule that an offer breaks of the policy nearest to it; null when it may be bought. */
export function refuseByNearest(settings: Settings, offer: Offer): DeviceRefusal | null {
  const policy = policyFor(settings, offer.terms);
  if (settings.policies === undefined || isSameToken(policy, offer.terms)) return refuseOffer(policy, offer);
  return policy.network === offer.terms.network ? "token-not-allowed" : "network-not-allowed";
}

export function policiesOf({ policy, policies }: Settings): readonly Policy[] {
  return policies === undefined ? [policy] : policies;
}

/** What a hello says of them: nothing of one alone, which gateways of before knew without. */
export function paysOf(settings: Settings): { readonly pays?: string } {
  return settings.policies === undefined ? {} : { pays: settings.policies.map(tokenName).join(" ") };
}

function hearOffer(before: State, offer: Offer, at: Moment): Step {
  const { budget, channel } = before;
  const event: Event = { type: "offer", at, offer };
  if (channel !== null && isSameToken(channel.terms, offer.terms)) {
    return withNames(stepMachine(before, event), budget, budget.token);
  }
  const refusal = refuseSwitch(before, offer);
  if (refusal !== null) {
    return withNames(stepMachine(before, { type: "offer-refused", at, refusal }), budget, budget.token);
  }
  const token = tokenName(offer.terms);
  const settings = { ...before.settings, policy: policyFor(before.settings, offer.terms) };
  const others = othersBeside(before, token);
  // At power-up it is still the budget of the channel that was bought on last, whose reserve the machine counts itself.
  const isOwn = budget.token === undefined || budget.token === token;
  const own = isOwn ? budget : { ...budget, spentBefore: spentOn(budget, token), signedAtStart: COUNTER_MAX };
  return withNames(stepMachine({ ...before, settings, budget: own }, event), { ...own, others }, token);
}

/** Why the machine would not take an offer of another token: it must not come to the policy that is in force now. */
function refuseSwitch(before: State, offer: Offer): DeviceRefusal | null {
  const { settings, channel, former } = before;
  const outside = refuseByNearest(settings, offer);
  if (outside !== null) return outside;
  if (offer.metered && !settings.signsOnDemand) return "metered-seller";
  // The channel's id is a hash over its token.
  if (channel !== null && channel.id === offer.channelId) return "channel-id-mismatch";
  const mark = markIn(former, offer.channelId);
  return mark === null ? null : refuseCharged(mark, offer.charged, settings.signsOnDemand);
}

/** The other tokens' budgets once a token is taken up: what is left now among them, and nothing of a day that is over. */
function othersBeside(state: State, token: string): readonly OtherBudget[] {
  const { budget } = state;
  const spent = spentToday(budget, signedBefore(state));
  const isLeft = budget.token !== token && spent > 0;
  const left = isLeft ? [{ token: budget.token || "", day: budget.day, spent }] : [];
  const kept = (budget.others || []).filter((one) => {
    return one.token !== token && one.day === budget.day;
  });
  return left.concat(kept).slice(0, OTHERS_MAX);
}

/** Atomic units of a token that may have been signed today. */
function spentOn({ day, others = [] }: Budget, token: string): number {
  for (const name of [token, ""]) {
    for (const one of others) if (one.token === name && one.day === day) return one.spent;
  }
  return 0;
}

/** The machine makes each budget anew; whose it is, and the others, go on with it into state and checkpoint. */
function withNames(step: Step, { day, others = [] }: Budget, token: string | undefined): Step {
  const { budget } = step.state;
  const isFirstDay = day === NO_DAY && budget.day !== NO_DAY;
  if (token === undefined || (budget.token === token && budget.others === others && !isFirstDay)) return step;
  const dated = isFirstDay ? others.map((one) => ({ ...one, day: budget.day })) : others;
  const state = { ...step.state, budget: { ...budget, token, others: dated } };
  const effects = step.effects.map((effect) => {
    return effect.type === "persist" ? { ...effect, checkpoint: finalCheckpoint(state) } : effect;
  });
  return { state, effects };
}
