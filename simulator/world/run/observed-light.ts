/**
 * A light of a world as an evening's report sees it: its monitor, what its owner does to its messages, and how
 * it stood when it was last alive.
 *
 * Promise: nothing of the device is changed but what its owner could change: its link, and a wire around
 * its meter.
 */
import type { Effect, Event } from "#core/events";
import { bootMachine, type State } from "#core/machine";
import type { HostLink } from "#node/host";
import { seededRandom } from "../../city/random.ts";
import { CheatingLink } from "../../fleet/lights/cheat.ts";
import { BYPASSED_PERMILLE } from "../../fleet/lights/fleet-light.ts";
import { InvariantMonitor } from "../../fleet/reconciliation/invariant-monitor.ts";
import type { EveningLight } from "../../fleet/recorded-evening.ts";
import type { Cheat } from "../../scenario/actions.ts";
import type { Light, LightOwner } from "../actors/device.ts";
import { keyOf } from "../engine/keys.ts";
import type { Site } from "../surroundings/simulated-site.ts";

export class ObservedLight implements EveningLight, LightOwner {
  readonly name: string;
  readonly site: Site;
  readonly monitor: InvariantMonitor;
  readonly cheats = new Set<Cheat>();
  private light: Light | null = null;
  private link: CheatingLink | null = null;
  private cheating: Cheat | null = null;
  private framesOfFormerLives = 0;
  private last: State;
  private drawnWhenRead = 0;
  private readonly random: () => number;

  /**
   * @param nowMs the world's time @param untilMs when the evening ends, and time without light counts no more
   * @param answered called with every round trip, virtual milliseconds
   */
  constructor(
    name: string,
    index: number,
    site: Site,
    nowMs: () => number,
    untilMs: number,
    answered: (roundTripMs: number) => void,
  ) {
    this.name = name;
    this.site = site;
    this.last = bootMachine(site.settings, null);
    this.random = seededRandom(index);
    this.monitor = new InvariantMonitor({
      name,
      nowMs: () => Math.min(nowMs(), untilMs),
      deliveredUnits: () => this.meteredUnits(),
      onPurchase: (begins, roundTripMs) => {
        if (!begins) answered(roundTripMs);
      },
      answersMs: nowMs,
    });
  }

  /** The light of the world that it is; before the world begins. */
  join(light: Light): void {
    this.light = light;
  }

  bend(link: HostLink): HostLink {
    this.framesOfFormerLives += this.link?.frames ?? 0;
    const { name } = this.joined();
    this.link = new CheatingLink(link, keyOf(name), keyOf("gateway").publicKey, this.random);
    this.link.cheat = this.cheating;
    return this.link;
  }

  observe(event: Event, effects: readonly Effect[], state: State): void {
    this.last = state;
    if ("reading" in event && event.reading !== null) this.drawnWhenRead = this.drawnUnits();
    this.monitor.observe(event, effects, state);
  }

  /** Makes it cheat from now on, or stop with null. */
  cheat(cheat: Cheat | null): void {
    if (cheat !== null) this.cheats.add(cheat);
    this.cheating = cheat;
    if (this.link !== null) this.link.cheat = cheat;
    this.joined().meter.bypass(cheat === "bypass-meter" ? BYPASSED_PERMILLE : 0);
  }

  state(): State {
    const light = this.joined();
    // A light without a process has no link, and its relay is as it was left.
    return light.state() ?? { ...this.last, linkUp: false, levelPercent: light.meter.levelPercent };
  }

  cheatFrames(): number {
    return this.framesOfFormerLives + (this.link?.frames ?? 0);
  }

  drawnUnits(): number {
    return this.joined().meter.deliveredUnits();
  }

  drawnAtReadingUnits(): number {
    return this.drawnWhenRead;
  }

  meteredUnits(): number {
    return this.joined().meter.meteredUnits();
  }

  consumedUnits(): number {
    const { register, account } = this.last;
    return account === null ? 0 : register.total - account.registerAtOpen;
  }

  grantedUnits(): number {
    return this.last.account?.granted ?? 0;
  }

  refusal(): string | null {
    return this.last.offerRefusal ?? this.last.answerRefusal;
  }

  accountId(): string {
    return this.last.channel?.id ?? "";
  }

  private joined(): Light {
    if (this.light === null) throw new Error(`${this.name}: expected a light of a world, found none yet`);
    return this.light;
  }
}
