/**
 * The machine's host on Linux: a key in memory, Node's HMAC, and an end that can be awaited.
 *
 * Promise: the lamp is dark before anything is read, and everything of machine-host.ts.
 */

import type { State } from "#core/machine";
import { payeeAt, stepBySeller } from "#host/credit-by-seller";
import { MachineHost } from "#host/machine-host";
import type { Description, MachineParts } from "#host/machine-parts";
import { paysOf, stepTokens } from "#host/several-tokens";
import { toHex } from "#payment/bytes";
import { signWith } from "#payment/signer";
import { tagKeyBetween } from "#payment/tag-key";
import { Watt402Error } from "#payment/watt402-error";
import { openMessage } from "./checked-inbox.ts";
import type { Host, HostLink, HostParts } from "./host-parts.ts";
import { hmacSha256 } from "./key/native-hmac.ts";

export { PORT_ANSWER_MS } from "#host/machine-host";
export type { Description, HostCounters } from "#host/machine-parts";
export type { Host, HostLink, HostParts, RunningMachine, Whereabouts } from "./host-parts.ts";

/** Starts a device. Throws what `journal.load` throws, with the lamp dark. */
export function startHost(parts: HostParts): Host {
  const machine = new MachineHost(machineParts(parts));
  machine.start();
  parts.whereabouts?.onChange(() => machine.wake());
  parts.almanac.onChange?.(() => {
    const at = machine.moment();
    if (at.wallSeconds !== null) machine.hear({ type: "plan", at, plan: parts.almanac.plan(at.wallSeconds) });
  });
  return new RunningHost(machine, parts.link);
}

/** Member by member: a copy by spreading gives every device a shape of its own, which in a fleet is half a kilobyte. */
function machineParts(parts: HostParts): MachineParts {
  const { key, walletRules, settings, whereabouts } = parts;
  const tagger = { hmac: hmacSha256, key: tagKeyBetween(key, parts.gatewayPublicKey) };
  return {
    settings,
    step:
      whereabouts === undefined
        ? stepTokens
        : (state, event) => stepBySeller(settings, whereabouts.now(), state, event),
    publicKey: toHex(key.publicKey),
    tagger,
    open(leaf, payload, take) {
      take(openMessage(tagger, key.address, leaf, payload, walletRules));
    },
    clock: parts.clock,
    chainSeconds: parts.chainSeconds,
    random: parts.random,
    meter: parts.meter,
    lamp: parts.lamp,
    journal: parts.journal,
    link: parts.link,
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
  #stopping: Promise<void> | null = null;

  constructor(machine: MachineHost, link: HostLink) {
    this.#machine = machine;
    this.#link = link;
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
    const error = await new Promise<string | null>((resolve) => this.#machine.stop(resolve));
    await this.#link.close();
    if (error !== null)
      throw new Watt402Error("file-inaccessible", `the last checkpoint was not stored: ${error}`);
  }
}
