/**
 * A drive as a device's host sees it: who is paid where it is, whether the stream is wanted, and a link that tunnels cut.
 *
 * Promise: each change is told at its instant, the border first, then the link, then what is wanted; in a tunnel nothing is
 * sent and nothing heard, and the connection counts as lost.
 */
import type { Almanac, Clock } from "#core/ports";
import type { HostLink, Whereabouts } from "#node/host";
import type { Drive, Whereabout } from "./drive.ts";

export interface FollowedDrive {
  readonly whereabouts: Whereabouts;
  readonly almanac: Almanac;
  /** The connection as tunnels leave it. */
  through(link: HostLink): HostLink;
  /** In the open, where somebody sells. */
  isServed(): boolean;
  stop(): void;
}

/**
 * @param payees by the seller's number; a number beyond them begins again at the first
 * @param onChange called when anything changed
 */
export function followDrive(
  drive: Drive,
  payees: readonly string[],
  clock: Pick<Clock, "nowMs" | "at">,
  onChange: () => void = () => {},
): FollowedDrive {
  const listeners = { border: [] as (() => void)[], link: [] as (() => void)[], plan: [] as (() => void)[] };
  let before = drive.at(clock.nowMs());
  let cancel = () => {};
  const look = () => {
    const now = drive.at(clock.nowMs());
    const moved = payeeOf(payees, now) !== payeeOf(payees, before);
    const passed = now.isTunnel !== before.isTunnel;
    before = now;
    cancel = clock.at(now.untilMs, look);
    if (moved) for (const tell of listeners.border) tell();
    if (passed) for (const tell of listeners.link) tell();
    for (const tell of listeners.plan) tell();
    onChange();
  };
  cancel = clock.at(before.untilMs, look);
  const isServed = () => before.seller !== null && !before.isTunnel;
  return {
    whereabouts: {
      now: () => ({ payee: payeeOf(payees, before), unitsAhead: drive.at(clock.nowMs()).secondsAhead }),
      onChange: (take) => listeners.border.push(take),
    },
    almanac: {
      plan: () => [{ minuteOfDay: 0, levelPercent: isServed() ? 100 : 0 }],
      onChange: (take) => listeners.plan.push(take),
    },
    through: (link) =>
      new TunnelLink(
        link,
        () => before.isTunnel,
        (take) => listeners.link.push(take),
      ),
    isServed,
    stop: () => cancel(),
  };
}

function payeeOf(payees: readonly string[], { seller }: Whereabout): string | null {
  return seller === null ? null : payees[seller % payees.length]!;
}

class TunnelLink implements HostLink {
  readonly #link: HostLink;
  readonly #isCut: () => boolean;
  #isUp = false;
  #take: (up: boolean) => void = () => {};

  constructor(link: HostLink, isCut: () => boolean, onPass: (take: () => void) => void) {
    this.#link = link;
    this.#isCut = isCut;
    onPass(() => {
      if (this.#isUp) this.#take(!isCut());
    });
  }

  publish(leaf: string, payload: Uint8Array, retained: boolean): void {
    if (!this.#isCut()) this.#link.publish(leaf, payload, retained);
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.#link.onMessage((leaf, payload) => {
      if (!this.#isCut()) take(leaf, payload);
    });
  }

  onChange(take: (up: boolean) => void): void {
    this.#take = take;
    this.#link.onChange((up) => {
      this.#isUp = up;
      take(up && !this.#isCut());
    });
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
