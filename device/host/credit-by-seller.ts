/**
 * A device that moves between sellers: what one of them granted is good at that one alone.
 *
 * Promise: credit is counted for each seller apart, and the machine sees only that of the seller where the device is. What
 * is left at another waits for the return; an answer that comes late is counted where it was paid. No rung is signed for a
 * seller that was left, and near the end of its region no more is bought than the way there takes.
 */
import { takeGrant } from "#core/apply-grant";
import { type Account, creditOf, type SellerCredit } from "#core/credit";
import type { ChannelMark, Event, Grant } from "#core/events";
import { finalCheckpoint, type Settings, type State, type Step } from "#core/machine";
import { lookAtMeter, reckonUntil } from "#core/metering";
import type { Policy } from "#core/policy";
import { channelTagOf, closedMarkOf } from "#core/rungs";
import { isCounting } from "#core/state";
import { QUANTUM_MAX, unitsForQuantum } from "#core/units";
import { policiesOf, policyFor, stepTokens } from "./several-tokens.ts";

/** Where a device is. */
export interface Place {
  /** Who is paid there, 0x and 40 lower-case hex digits; null where nobody sells. */
  readonly payee: string | null;
  /** Units that can be used until the seller's region ends, as far as that is known; else Infinity. */
  readonly unitsAhead: number;
}

/** Nobody is paid at the zero address: so a device says that it is in no seller's region. */
export const NOWHERE = `0x${"0".repeat(40)}`;

/** Sellers whose credit is remembered where a policy names none; what is left at one that is forgotten is lost. */
const SELLERS_MAX = 32;

/** Channels with one seller whose late answers are still known to be its own. */
const CHANNELS_MAX = 4;

/** Channels remembered beside one for each seller that the policy names. */
const FORMER_MAX = 4;

/** What hello says of a place. */
export function payeeAt({ payee }: Place): string {
  return payee === null ? NOWHERE : payee;
}

/**
 * Takes one event at a place. Pure, as the machine is.
 * @param own the owner's settings: the state has them narrowed to the seller where the device is
 */
export function stepBySeller(own: Settings, place: Place, before: State, event: Event): Step {
  const heard = moveTo(forget(before, own), payeeAt(place), event);
  const payee = heard.account === null ? payeeAt(place) : heard.account.payee!;
  const settings = narrow(own, heard, payee, lowMarkWithin(own, place, heard, event));
  const state = { ...heard, settings, ...(payee === NOWHERE ? nobodySells(heard, event) : {}) };
  const late = event.type === "grant" ? lateGrant(state, event.grant, event.at.nowMs) : null;
  const step = stepTokens(late === null ? state : late, event);
  const account = nameAccount(step.state, late === null ? state : late);
  const former = formerAfter(own, state, step.state);
  if (account === step.state.account && former === step.state.former) return step;
  const after = { ...step.state, account, former };
  const effects = step.effects.map((effect) => {
    return effect.type === "persist" ? { ...effect, checkpoint: finalCheckpoint(after) } : effect;
  });
  return { state: after, effects };
}

/** Units that wait at other sellers, below 0 where one of them is still owed; by their payees. */
export function creditElsewhere(account: Account | null): readonly SellerCredit[] {
  if (account === null || account.sellers === undefined) return [];
  return account.sellers.filter(({ payee }) => payee !== account.payee);
}

/** Units granted by all sellers, those that were lost included. */
export function grantedByAll(account: Account | null): number {
  if (account === null) return 0;
  const elsewhere = creditElsewhere(account).reduce((sum, { units }) => sum + units, 0);
  return account.granted + elsewhere + (account.lost || 0);
}

// ---- from one seller to the next ----

/**
 * The state at a place: another than before once the meter was looked at, so that what was used before is the seller's
 * before. Until the new seller offers, nothing is signed.
 */
function moveTo(before: State, payee: string, event: Event): State {
  const reckoned = reckonUntil(before, event.at.nowMs);
  const read = "reading" in event ? lookAtMeter(reckoned, event.reading, event.at) : reckoned;
  // A reading in doubt is weighed once, by the machine.
  const looked = read.meterRefusal === null ? read : reckoned;
  const { account } = looked;
  if (account === null || account.payee === payee || !isCounting(looked)) return before;
  const { sellers = [] } = account;
  const own = account.payee === undefined ? 0 : unitsIn(sellers, payee);
  const left = creditOf(account, looked.register.total);
  // Where nobody sells nothing is paid: what a meter showed too late is on the next seller's account.
  const isLeft = account.payee !== undefined && account.payee !== NOWHERE;
  const granted = account.granted + own - (isLeft ? left : 0);
  const kept = isLeft ? withUnits(sellers, account.payee!, left) : sellers;
  const moved: Account = { ...account, granted, payee, sellers: withUnits(kept, payee, 0) };
  const { channel, linkUp } = before;
  const isAnother = account.payee !== undefined || (channel !== null && channel.terms.payTo !== payee);
  return {
    ...looked,
    account: moved,
    persistDue: true,
    ...(isAnother
      ? { halted: channel !== null, helloAtMs: linkUp ? event.at.nowMs : Infinity, helloAttempts: 0 }
      : {}),
  };
}

/** Outside every region it asks for no offer: it says hello once, when it connects. */
function nobodySells({ helloAtMs }: State, { type }: Event): Pick<State, "helloAtMs" | "offerRefusal"> {
  return { helloAtMs: type === "link" ? helloAtMs : Infinity, offerRefusal: "no-seller-here" };
}

/** The owner's settings, for one seller alone: any other's offer is refused by the machine itself. */
function narrow(own: Settings, { settings }: State, payee: string, lowMarkPermille: number): Settings {
  const only = (policy: Policy) => {
    const mayPay = policy.payees.length === 0 || policy.payees.indexOf(payee) >= 0;
    return { ...policy, payees: [mayPay ? payee : NOWHERE] };
  };
  const policies = own.policies === undefined ? {} : { policies: own.policies.map(only) };
  return { ...own, ...policies, policy: only(policyFor(own, settings.policy)), lowMarkPermille };
}

/** The owner's mark, and not above the whole units that can still be used at this seller: a meter hides a part of one. */
function lowMarkWithin(own: Settings, { unitsAhead }: Place, { channel }: State, event: Event): number {
  const offered = event.type === "offer" ? event.offer : channel;
  if (offered === null || unitsAhead === Infinity) return own.lowMarkPermille;
  const { quantumAtomic, pricePerMillionUnits } = offered;
  if (quantumAtomic < 1 || quantumAtomic > QUANTUM_MAX || pricePerMillionUnits < 1)
    return own.lowMarkPermille;
  const quantumUnits = Math.max(1, unitsForQuantum(quantumAtomic, pricePerMillionUnits));
  return Math.min(
    own.lowMarkPermille,
    Math.floor((1000 * Math.max(0, Math.floor(unitsAhead))) / quantumUnits),
  );
}

// ---- whose credit it is ----

/** The state with a grant of a seller elsewhere taken from the present account before the machine adds it; null: it is of here. */
function lateGrant(state: State, grant: Grant, nowMs: number): State | null {
  const { account } = state;
  const payee = account === null ? undefined : payeeOf(state, grant.channelTag);
  if (account === null || payee === undefined || payee === account.payee) return null;
  const at = { nowMs, wallSeconds: null, random: 0 };
  const units = takeGrant(state, grant, at).account!.granted - account.granted;
  const sellers = withUnits(account.sellers!, payee, unitsIn(account.sellers!, payee) + units);
  return { ...state, account: { ...account, granted: account.granted - units, sellers } };
}

/** Whose channel it is; undefined for one that is not known any more. */
function payeeOf({ channel, account }: State, tag: number): string | undefined {
  if (channel !== null && channelTagOf(channel.id) === tag) return channel.terms.payTo;
  const isHere = (id: string) => channelTagOf(id) === tag;
  const seller = account!.sellers!.filter(({ channels }) => channels.some(isHere))[0];
  return seller === undefined ? undefined : seller.payee;
}

/** The machine makes each account anew; whose it is goes on with it, and which channels are whose. */
function nameAccount({ account, channel }: State, { account: named }: State): Account | null {
  if (account === null || named === null || named.payee === undefined) return account;
  const lost = named.lost === undefined ? {} : { lost: named.lost };
  const { granted, registerAtOpen } = account;
  const sellers =
    channel === null ? named.sellers! : withChannel(named.sellers!, channel.terms.payTo, channel.id);
  return { granted, registerAtOpen, payee: named.payee, sellers, ...lost };
}

/** Without the sellers that the policy names no more, and those left longest ago where it names none: what waits there is lost. */
function forget(state: State, own: Settings): State {
  const { account } = state;
  if (account === null || account.sellers === undefined) return state;
  const isNamed = ({ payee }: SellerCredit) =>
    policiesOf(own).some(({ payees }) => payees.length === 0 || payees.indexOf(payee) >= 0);
  const kept = account.sellers
    .filter((one) => one.payee === account.payee || isNamed(one))
    .slice(0, SELLERS_MAX);
  if (kept.length === account.sellers.length) return state;
  const gone = account.sellers.filter((one) => kept.indexOf(one) < 0);
  const lost = gone.reduce((sum, { units }) => sum + units, account.lost || 0);
  return { ...state, account: { ...account, sellers: kept, lost }, persistDue: true };
}

/** Channels left behind: as the machine keeps them, and one more for each seller that is named. */
function formerAfter(own: Settings, before: State, { channel, former }: State): readonly ChannelMark[] {
  if (channel === null || (before.channel !== null && before.channel.id === channel.id)) return former;
  const left = before.channel === null ? [] : [closedMarkOf(before.channel)];
  const named = policiesOf(own).reduce((sum, { payees }) => sum + payees.length, 0);
  const others = before.former.filter(({ id }) => id !== channel.id);
  return left.concat(others).slice(0, FORMER_MAX + named);
}

function unitsIn(sellers: readonly SellerCredit[], payee: string): number {
  return sellers.reduce((sum, one) => (one.payee === payee ? one.units : sum), 0);
}

/** The latest first. */
function withUnits(sellers: readonly SellerCredit[], payee: string, units: number): readonly SellerCredit[] {
  if (payee === NOWHERE) return sellers;
  const [known] = sellers.filter((one) => one.payee === payee);
  const one = { payee, units, channels: known === undefined ? [] : known.channels };
  return [one].concat(sellers.filter((other) => other !== known) as (typeof one)[]);
}

function withChannel(sellers: readonly SellerCredit[], payee: string, id: string): readonly SellerCredit[] {
  return sellers.map((one) => {
    if (one.payee !== payee || one.channels[0] === id) return one;
    const others = one.channels.filter((other) => other !== id);
    return { ...one, channels: [id].concat(others).slice(0, CHANNELS_MAX) };
  });
}
