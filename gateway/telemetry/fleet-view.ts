/**
 * The fleet as it is now, made of the events of the gateway's rules (purchase/ports.ts, GatewayEvent).
 *
 * Promise: no socket, clock or file; memory bounded by the number of lights; when it is full, one that left
 * gives its position to one that comes; sums are kept as things happen, so that a summary costs nothing
 * however many lights there are.
 */
import { isSameToken, type PaymentToken } from "#protocol/payment-token";
import type { ChannelRecord, GatewayEvent, Tariff } from "../purchase/ports.ts";
import { History } from "./history.ts";
import { CONDITIONS, type Condition } from "./labels.ts";
import { type Light, newLight, spend, takeChannel } from "./light-view.ts";
import type { Location } from "./locations.ts";
import type { FleetSummary } from "./shapes.ts";

export interface FleetOptions {
  readonly locations: ReadonlyMap<string, Location>;
  readonly lightsMax: number;
  /** That sellers take, in their order. */
  readonly tokens: readonly PaymentToken[];
  /** Unix seconds. */
  readonly now: () => number;
}

/** What was charged in one token, atomic units, and its tariff as offered last. */
interface TokenSums extends PaymentToken {
  spentAtomic: number;
  pricePerMillionUnits: number;
}

/** Silence after which a light that never paid gives its position away, without being known to have left. */
const SILENT_SECONDS = 120;

/** Lights looked at for one that is silent: a message must not cost a walk through the fleet. */
const LOOKS_MAX = 256;

/** Samples over which payments a second are averaged. */
const RATE_SAMPLES = 5;

type EventOf<Type extends GatewayEvent["type"]> = Extract<GatewayEvent, { type: Type }>;

export class Fleet {
  readonly history = new History();
  readonly #options: FleetOptions;
  readonly #lights: Light[] = [];
  readonly #byDevice = new Map<string, Light>();
  readonly #conditions = Object.fromEntries(CONDITIONS.map((name) => [name, 0])) as Record<Condition, number>;
  readonly #totals = { powerMilliwatts: 0, payments: 0, refusals: 0, dropped: 0 };
  readonly #tokens: readonly TokenSums[];
  #revision = 0;
  /** Lights by their last change: a light that changes moves to the end. */
  readonly #byChange = new Map<number, Light>();
  /** Lights that the gateway has forgotten: their positions are given away first. */
  readonly #evicted = new Set<Light>();
  /** Where the last search for a silent light ended. */
  #hand = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#tokens = options.tokens.map(({ network, asset }) => ({
      network,
      asset,
      spentAtomic: 0,
      pricePerMillionUnits: 0,
    }));
  }

  /** The index is the light's position. */
  get lights(): readonly Light[] {
    return this.#lights;
  }

  /** Rises with every change of any light. */
  get revision(): number {
    return this.#revision;
  }

  light(device: string): Light | null {
    return this.#byDevice.get(device) ?? null;
  }

  observe(event: GatewayEvent): void {
    if (event.type === "dropped") this.#totals.dropped += 1;
    // The sender of a message that had to be dropped is not thereby a light.
    if (event.type === "dropped" || event.type === "differs") return;
    if (event.type === "evicted") {
      const light = this.#byDevice.get(event.device);
      if (light === undefined) return;
      this.#become(light, "lost", 0);
      this.#touch(light);
      this.#evicted.add(light);
      return;
    }
    const light = this.#find(event.device);
    if (light === null) return;
    this.#take(light, event);
    this.#touch(light);
  }

  /** Takes a sample; to be called once a second. */
  sample(): void {
    const { lit, starved, lost } = this.#conditions;
    const { powerMilliwatts, payments } = this.#totals;
    const { pricePerMillionUnits, spentAtomic } = this.#tokens[0]!;
    this.history.add({
      atSeconds: this.#options.now(),
      powerMilliwatts,
      pricePerMillionUnits,
      spentAtomic,
      payments,
      lit,
      starved,
      lost,
    });
  }

  summary(): FleetSummary {
    const samples = this.history.samples("seconds").slice(-RATE_SAMPLES);
    const [first, last] = [samples[0], samples.at(-1)];
    const seconds = first && last ? last.atSeconds - first.atSeconds : 0;
    const { pricePerMillionUnits, spentAtomic } = this.#tokens[0]!;
    return {
      atSeconds: this.#options.now(),
      lights: { ...this.#conditions },
      ...this.#totals,
      pricePerMillionUnits,
      spentAtomic,
      tokens: this.#tokens.map((token) => ({ ...token })),
      paymentsPerSecond: seconds > 0 ? (last!.payments - first!.payments) / seconds : 0,
    };
  }

  /** Lights that changed after a revision, in the order of their last change, at most so many. */
  changedSince(revision: number, limit: number): readonly Light[] {
    const changed: Light[] = [];
    if (revision >= this.#revision) return changed;
    for (const light of this.#byChange.values()) {
      if (light.revision <= revision) continue;
      changed.push(light);
      if (changed.length >= limit) break;
    }
    return changed;
  }

  /** The device's light, made when there is none yet; null when no position is free. */
  #find(device: string): Light | null {
    const known = this.#byDevice.get(device);
    if (known !== undefined) {
      this.#evicted.delete(known);
      return known;
    }
    const { locations, lightsMax, now } = this.#options;
    const isFull = this.#lights.length >= lightsMax;
    const leaving = isFull ? this.#leavingLight() : null;
    if (isFull && leaving === null) return null;
    const index = leaving?.index ?? this.#lights.length;
    if (leaving !== null) this.#forget(leaving);
    const bornRevision = leaving === null ? 0 : this.#revision;
    const light = newLight(index, device, locations.get(device) ?? null, now(), bornRevision);
    this.#lights[index] = light;
    this.#byDevice.set(device, light);
    this.#conditions[light.condition] += 1;
    return light;
  }

  #leavingLight(): Light | null {
    for (const light of this.#evicted) return light;
    for (let looks = Math.min(LOOKS_MAX, this.#lights.length); looks > 0; looks -= 1) {
      this.#hand = (this.#hand + 1) % this.#lights.length;
      const light = this.#lights[this.#hand]!;
      const hasPaid = light.payments > 0 || light.charged > 0;
      if (!hasPaid && this.#options.now() - light.heardSeconds >= SILENT_SECONDS) return light;
    }
    return null;
  }

  #forget(light: Light): void {
    this.#become(light, light.condition, 0);
    this.#conditions[light.condition] -= 1;
    this.#evicted.delete(light);
    this.#byDevice.delete(light.device);
    this.#byChange.delete(light.revision);
  }

  #touch(light: Light): void {
    light.heardSeconds = this.#options.now();
    this.#byChange.delete(light.revision);
    this.#revision += 1;
    light.revision = this.#revision;
    this.#byChange.set(light.revision, light);
  }

  #become(light: Light, condition: Condition, powerMilliwatts: number): void {
    this.#conditions[light.condition] -= 1;
    this.#conditions[condition] += 1;
    // What is metered in another unit has no power.
    if (light.unit === "mWh") this.#totals.powerMilliwatts += powerMilliwatts - light.powerMilliwatts;
    light.condition = condition;
    light.powerMilliwatts = powerMilliwatts;
  }

  #take(light: Light, event: Exclude<GatewayEvent, { type: "dropped" | "differs" | "evicted" }>): void {
    switch (event.type) {
      case "hello":
        this.#takeHello(light, event);
        break;
      case "answered":
        this.#takeAnswer(light, event);
        break;
      case "state":
        this.#takeState(light, event);
        break;
      case "reading":
        this.#takeReading(light, event);
        break;
      case "lost":
        this.#become(light, "lost", 0);
        break;
      // The gateway that serves it now counts it, so that sums over gateways are the fleet's.
      case "released":
        this.#become(light, "new", 0);
        break;
      case "no-offer":
        light.refusal = event.refusal;
        light.noOffer = event.reason;
        break;
      case "pay":
        light.register = Math.max(light.register, event.pay.register);
        break;
      case "offered":
        this.#takeOffer(light, event);
    }
  }

  #takeOffer(light: Light, { channel, tariff }: EventOf<"offered">): void {
    light.noOffer = null;
    this.#takeChannel(light, channel, tariff);
    const sums = this.#tokens[light.tokenIndex];
    if (sums !== undefined) sums.pricePerMillionUnits = tariff.pricePerMillionUnits;
  }

  #takeChannel(light: Light, channel: ChannelRecord, tariff: Tariff | null): void {
    takeChannel(light, channel, tariff, this.#options.now());
    light.tokenIndex = this.#tokens.findIndex((token) => isSameToken(token, channel.requirements));
  }

  #takeAnswer(light: Light, { channel, grant }: EventOf<"answered">): void {
    if (grant.refusal !== null) {
      if (channel !== null && channel.id === light.channelId) {
        light.unknownSinceSeconds = channel.unknown?.sinceSeconds ?? null;
      }
      light.refusals += 1;
      light.refusal = grant.refusal;
      this.#totals.refusals += 1;
      return;
    }
    // A counter that did not rise is a rung answered again: nothing was paid.
    // A grant is a channel's.
    if (channel === null) return;
    const isKnown = light.channelId === channel.id;
    const amount = isKnown ? Math.max(0, grant.charged - light.charged) : Number(channel.requirements.amount);
    const now = this.#options.now();
    this.#takeChannel(light, channel, null);
    light.refusal = null;
    light.pricePerMillionUnits = grant.pricePerMillionUnits;
    if (amount === 0) return;
    spend(light, amount, now);
    light.payments += 1;
    light.paidSeconds = now;
    this.#totals.payments += 1;
    const sums = this.#tokens[light.tokenIndex];
    if (sums !== undefined) sums.spentAtomic += amount;
  }

  #takeHello(light: Light, { hello }: EventOf<"hello">): void {
    const { model, firmware, meter, unit, register } = hello;
    if (unit !== light.unit) this.#become(light, light.condition, 0);
    Object.assign(light, { model, firmware, meter, unit });
    light.register = Math.max(light.register, register);
    if (light.condition === "lost") this.#become(light, "new", 0);
  }

  #takeState(light: Light, { state }: EventOf<"state">): void {
    const { register, credit, powerMilliwatts, levelPercent, wantedPercent, refusal } = state;
    Object.assign(light, { credit, levelPercent, wantedPercent, refusal });
    light.register = Math.max(light.register, register);
    const burning = levelPercent > 0 ? "lit" : "dark";
    const online = state.starved ? "starved" : burning;
    if (state.status === "lost") this.#become(light, "lost", 0);
    else this.#become(light, online, powerMilliwatts);
  }

  #takeReading(light: Light, { reading }: EventOf<"reading">): void {
    light.register = Math.max(light.register, reading.register);
    light.voltageMillivolts = reading.voltageMillivolts ?? null;
    light.currentMilliamps = reading.currentMilliamps ?? null;
    light.frequencyMillihertz = reading.frequencyMillihertz ?? null;
    light.meterQuality = reading.quality ?? null;
    this.#become(light, light.condition === "lost" ? "new" : light.condition, reading.powerMilliwatts);
  }
}
