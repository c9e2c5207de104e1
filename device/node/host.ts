/**
 * The machine's host on Linux: a key in memory, Node's HMAC, and an end that can be awaited.
 *
 * Promise: the lamp is dark before anything is read, and everything of machine-host.ts.
 */

import type { State } from "#core/machine";
import type { Link } from "#core/ports";
import { payeeAt, stepBySeller } from "#host/credit-by-seller";
import { openOffer } from "#host/inbox";
import { MachineHost } from "#host/machine-host";
import type { Description, MachineParts } from "#host/machine-parts";
import { paysOf, policiesOf, stepTokens } from "#host/several-tokens";
import { toHex } from "#payment/bytes";
import { signWith } from "#payment/signer";
import { tagKeyBetween } from "#payment/tag-key";
import { Watt402Error } from "#payment/watt402-error";
import { openMessage } from "./checked-inbox.ts";
import { GatewayDocuments } from "./general/gateway-documents.ts";
import { OneOffBuyer } from "./general/one-off-buyer.ts";
import { PriceWatch } from "./general/price-watch.ts";
import { SideSpending } from "./general/side-spending.ts";
import type { Host, HostLink, HostParts } from "./host-parts.ts";
import { hmacSha256 } from "./key/native-hmac.ts";
import { Market } from "./market/market.ts";

export { PORT_ANSWER_MS } from "#host/machine-host";
export type { Description, HostCounters } from "#host/machine-parts";
export type { Host, HostLink, HostParts, OfferWish, RunningMachine, Whereabouts } from "./host-parts.ts";

/** Starts a device. Throws what `journal.load` throws, with the lamp dark. */
export function startHost(parts: HostParts): Host {
  const side = parts.buysOnce === true ? new SideSpending() : null;
  const general = openGeneral(parts, side, () => machine.state());
  const machine: MachineHost = new MachineHost(machineParts(parts, side, general));
  if (side !== null) side.onAsk = () => machine.wake();
  machine.start();
  parts.whereabouts?.onChange(() => machine.wake());
  // What the gateway would tell by itself may have been lost, or refused after a lie.
  parts.offerWish?.onWish(() => {
    if (machine.state().linkUp) machine.hear({ type: "link", at: machine.moment(), up: true });
  });
  parts.almanac.onChange?.(() => {
    const at = machine.moment();
    if (at.wallSeconds !== null) machine.hear({ type: "plan", at, plan: parts.almanac.plan(at.wallSeconds) });
  });
  return new RunningHost(machine, parts.link, general);
}

/** What speaks on the general transport. */
interface General {
  readonly buyer: OneOffBuyer | null;
  /** What the gateway answers by itself, for both of those below. */
  readonly documents: GatewayDocuments;
  readonly prices: PriceWatch | null;
  readonly market: Market | null;
}

function openGeneral(parts: HostParts, side: SideSpending | null, state: () => State): General {
  const { priced, market, key, settings, clock, random, link } = parts;
  const send = (payload: Uint8Array) => link.publish("request", payload, false);
  const documents = new GatewayDocuments({ clock, random, send });
  return {
    buyer: side === null ? null : buyerFor(parts, side),
    documents,
    prices: priced ? new PriceWatch(priced, { clock, random, documents }) : null,
    market: market === undefined ? null : new Market({ ...market, key, settings, clock, state, documents }),
  };
}

function buyerFor({ key, clock, chainSeconds, random, settings, link }: HostParts, side: SideSpending) {
  return new OneOffBuyer({
    ...{ key, clock, chainSeconds, random },
    policy: policiesOf(settings)[0]!,
    reserve: (amountAtomic, token) => side.reserve(amountAtomic, token),
    send: (leaf, payload) => link.publish(leaf, payload, false),
  });
}

/** The same link; what is of the general transport goes to those who speak on it. */
function linkFor(link: HostLink, { buyer, documents, prices, market }: General): Link {
  if (buyer === null && prices === null && market === null) return link;
  return {
    publish: (leaf, payload, retained) => link.publish(leaf, payload, retained),
    onMessage: (take) =>
      link.onMessage((leaf, payload) => {
        if (leaf !== "payment-required" && leaf !== "response") take(leaf, payload);
        else if (leaf === "payment-required") buyer?.take(leaf, payload);
        else if (!documents.take(payload)) buyer?.take(leaf, payload);
      }),
    onChange: (take) =>
      link.onChange((up) => {
        take(up);
        buyer?.linkChanged(up);
        documents.linkChanged(up);
        prices?.linkChanged(up);
      }),
  };
}

/** Member by member: a copy by spreading gives every device a shape of its own, which in a fleet is half a kilobyte. */
function machineParts(parts: HostParts, side: SideSpending | null, general: General): MachineParts {
  const { key, walletRules, settings, whereabouts } = parts;
  const tagger = { hmac: hmacSha256, key: tagKeyBetween(key, parts.gatewayPublicKey) };
  const { market } = general;
  const own: MachineParts["step"] =
    whereabouts === undefined
      ? stepTokens
      : (state, event) => stepBySeller(settings, whereabouts.now(), state, event);
  const step = market === null ? own : market.step(own);
  return {
    settings,
    step: side === null ? step : side.step(step),
    publicKey: toHex(key.publicKey),
    tagger,
    open(leaf, payload, take) {
      const opened = openMessage(tagger, key.address, leaf, payload, walletRules);
      const read = market !== null && opened.kind === "offer" ? openOffer(tagger, payload) : null;
      if (market !== null && opened.kind === "offer" && read?.kind === "message")
        market.hear(opened.offer, read.message.resource, take);
      else take(opened);
    },
    clock: parts.clock,
    chainSeconds: parts.chainSeconds,
    random: parts.random,
    meter: parts.meter,
    lamp: parts.lamp,
    journal: side === null ? parts.journal : side.journal(parts.journal),
    link: linkFor(parts.link, general),
    almanac: parts.almanac,
    describe: describeTo(parts),
    signer: parts.signer ?? signWith(key),
    trouble: parts.trouble,
    observe: parts.observe,
  };
}

/** What its hello says: tokens where there are several, and where it is when it moves. */
function describeTo({ describe, settings, whereabouts }: HostParts): Description {
  if (whereabouts === undefined) {
    return settings.policies === undefined ? describe : { ...describe, ...paysOf(settings) };
  }
  return {
    ...describe,
    ...paysOf(settings),
    get payee() {
      return payeeAt(whereabouts.now());
    },
  };
}

class RunningHost implements Host {
  readonly #machine: MachineHost;
  readonly #link: HostLink;
  readonly #general: General;
  #stopping: Promise<void> | null = null;

  constructor(machine: MachineHost, link: HostLink, general: General) {
    this.#machine = machine;
    this.#link = link;
    this.#general = general;
  }

  get buyOnce(): Host["buyOnce"] {
    const { buyer } = this.#general;
    return buyer === null ? null : (order) => buyer.buy(order);
  }

  get counters(): Host["counters"] {
    return this.#machine.counters;
  }

  state(): State {
    return this.#machine.state();
  }

  look(): void {
    this.#machine.wake();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#general.buyer?.stop();
    this.#general.prices?.stop();
    this.#general.market?.stop();
    this.#general.documents.stop();
    const error = await new Promise<string | null>((resolve) => this.#machine.stop(resolve));
    await this.#link.close();
    if (error !== null)
      throw new Watt402Error("file-inaccessible", `the last checkpoint was not stored: ${error}`);
  }
}
