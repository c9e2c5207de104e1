/**
 * The fleet as it is now, made of what the gateway's rules tell (purchase/ports.ts, Occurrence).
 *
 * Promise: no socket, clock or file; memory bounded by the number of lights; when it is full, one that left
 * gives its position to one that comes; sums are kept as things happen, so that a summary costs nothing however many lights there are.
 */
import type { Occurrence, Tariff } from "../purchase/ports.ts";
import { type History, openHistory } from "./history.ts";
import { CONDITIONS, type Condition } from "./labels.ts";
import { type Light, newLight, spend, takeChannel } from "./light-view.ts";
import type { Location } from "./locations.ts";
import type { FleetSummary } from "./shapes.ts";

export interface Fleet {
  observe(occurrence: Occurrence): void;
  /** Takes a sample; to be called once a second. */
  sample(): void;
  summary(): FleetSummary;
  light(device: string): Light | null;
  /** `index` is the position. */
  readonly lights: readonly Light[];
  /** Rises with every change of any light. */
  readonly revision: number;
  /** Lights that changed after a revision, in the order of their last change, at most so many. */
  changedSince(revision: number, limit: number): readonly Light[];
  readonly history: History;
}

export interface FleetOptions {
  readonly locations: ReadonlyMap<string, Location>;
  readonly lightsMax: number;
  /** Unix seconds. */
  readonly now: () => number;
}

/** Silence after which a light that never paid gives its position away, without being known to have left. */
const SILENT_SECONDS = 120;

/** Lights looked at for one that is silent: a message must not cost a walk through the fleet. */
const LOOKS_MAX = 256;

/** Samples over which payments a second are averaged. */
const RATE_SAMPLES = 5;

export function openFleet(options: FleetOptions): Fleet {
  const { locations, lightsMax, now } = options;
  const lights: Light[] = [];
  const byDevice = new Map<string, Light>();
  const history = openHistory();
  const conditions = Object.fromEntries(CONDITIONS.map((name) => [name, 0])) as Record<Condition, number>;
  const totals = { powerMilliwatts: 0, spentAtomic: 0, payments: 0, refusals: 0, dropped: 0 };
  let tariff: Tariff | null = null;
  let revision = 0;
  /** Lights by their last change: a light that changes moves to the end. */
  const byChange = new Map<number, Light>();

  /** Lights that the gateway has forgotten: theirs are the positions that are given away first. */
  const evicted = new Set<Light>();
  let hand = 0;

  function find(device: string): Light | null {
    const known = byDevice.get(device);
    if (known !== undefined) {
      evicted.delete(known);
      return known;
    }
    const leaving = lights.length >= lightsMax ? leavingLight() : null;
    if (lights.length >= lightsMax && leaving === null) return null;
    const index = leaving?.index ?? lights.length;
    if (leaving !== null) forget(leaving);
    const light = newLight(
      index,
      device,
      locations.get(device) ?? null,
      now(),
      leaving === null ? 0 : revision,
    );
    lights[index] = light;
    byDevice.set(device, light);
    conditions[light.condition] += 1;
    return light;
  }

  function leavingLight(): Light | null {
    for (const light of evicted) return light;
    for (let looks = Math.min(LOOKS_MAX, lights.length); looks > 0; looks -= 1) {
      hand = (hand + 1) % lights.length;
      const light = lights[hand]!;
      const hasPaid = light.payments > 0 || light.charged > 0;
      if (!hasPaid && now() - light.heardSeconds >= SILENT_SECONDS) return light;
    }
    return null;
  }

  function forget(light: Light): void {
    become(light, light.condition, 0);
    conditions[light.condition] -= 1;
    evicted.delete(light);
    byDevice.delete(light.device);
    byChange.delete(light.revision);
  }

  function touch(light: Light): void {
    light.heardSeconds = now();
    byChange.delete(light.revision);
    revision += 1;
    light.revision = revision;
    byChange.set(revision, light);
  }

  function become(light: Light, condition: Condition, powerMilliwatts: number): void {
    conditions[light.condition] -= 1;
    conditions[condition] += 1;
    totals.powerMilliwatts += powerMilliwatts - light.powerMilliwatts;
    light.condition = condition;
    light.powerMilliwatts = powerMilliwatts;
  }

  function takeAnswer(light: Light, { channel, grant }: Extract<Occurrence, { type: "answered" }>): void {
    if (grant.refusal !== null) {
      light.refusals += 1;
      light.refusal = grant.refusal;
      totals.refusals += 1;
      return;
    }
    // A counter that stood still is a rung answered again: nothing was paid.
    const isKnown = channel !== null && light.channelId === channel.id;
    const amount = isKnown ? Math.max(0, grant.charged - light.charged) : light.quantumAtomic;
    if (channel !== null) takeChannel(light, channel, null);
    light.refusal = null;
    light.pricePerMillionUnits = grant.pricePerMillionUnits;
    if (amount === 0) return;
    spend(light, amount, now());
    light.payments += 1;
    light.paidSeconds = now();
    totals.payments += 1;
    totals.spentAtomic += amount;
  }

  function takeHello(light: Light, { hello }: Extract<Occurrence, { type: "hello" }>): void {
    const { model, firmware, meter, unit, register } = hello;
    Object.assign(light, { model, firmware, meter, unit });
    light.register = Math.max(light.register, register);
    if (light.condition === "lost") become(light, "new", 0);
  }

  function takeState(light: Light, { state }: Extract<Occurrence, { type: "state" }>): void {
    const { register, credit, powerMilliwatts, levelPercent, wantedPercent, refusal } = state;
    Object.assign(light, { credit, levelPercent, wantedPercent, refusal });
    light.register = Math.max(light.register, register);
    const burning = levelPercent > 0 ? "lit" : "dark";
    const online = state.starved ? "starved" : burning;
    if (state.status === "lost") become(light, "lost", 0);
    else become(light, online, powerMilliwatts);
  }

  function takeReading(light: Light, { reading }: Extract<Occurrence, { type: "reading" }>): void {
    light.register = Math.max(light.register, reading.register);
    light.voltageMillivolts = reading.voltageMillivolts ?? null;
    light.currentMilliamps = reading.currentMilliamps ?? null;
    light.frequencyMillihertz = reading.frequencyMillihertz ?? null;
    light.meterQuality = reading.quality ?? null;
    become(light, light.condition === "lost" ? "new" : light.condition, reading.powerMilliwatts);
  }

  function take(
    light: Light,
    occurrence: Exclude<Occurrence, { type: "dropped" | "differs" | "evicted" }>,
  ): void {
    if (occurrence.type === "hello") takeHello(light, occurrence);
    else if (occurrence.type === "answered") takeAnswer(light, occurrence);
    else if (occurrence.type === "state") takeState(light, occurrence);
    else if (occurrence.type === "reading") takeReading(light, occurrence);
    else if (occurrence.type === "lost") become(light, "lost", 0);
    // Counted by the gateway that hears it now, so that sums over gateways are the fleet's.
    else if (occurrence.type === "released") become(light, "new", 0);
    else if (occurrence.type === "no-offer") {
      light.refusal = occurrence.refusal;
      light.noOffer = occurrence.reason;
    } else if (occurrence.type === "pay") light.register = Math.max(light.register, occurrence.pay.register);
    else {
      tariff = occurrence.tariff;
      light.noOffer = null;
      takeChannel(light, occurrence.channel, tariff);
    }
  }

  return {
    observe(occurrence) {
      if (occurrence.type === "dropped") totals.dropped += 1;
      // Whoever sends what must be dropped is not thereby a light.
      if (occurrence.type === "dropped" || occurrence.type === "differs") return;
      if (occurrence.type === "evicted") {
        const left = byDevice.get(occurrence.device);
        if (left === undefined) return;
        become(left, "lost", 0);
        touch(left);
        evicted.add(left);
        return;
      }
      const light = find(occurrence.device);
      if (light === null) return;
      take(light, occurrence);
      touch(light);
    },
    sample() {
      const { lit, starved, lost } = conditions;
      const { powerMilliwatts, spentAtomic, payments } = totals;
      const pricePerMillionUnits = tariff?.pricePerMillionUnits ?? 0;
      history.add({
        atSeconds: now(),
        powerMilliwatts,
        pricePerMillionUnits,
        spentAtomic,
        payments,
        lit,
        starved,
        lost,
      });
    },
    summary() {
      const samples = history.samples("seconds").slice(-RATE_SAMPLES);
      const [first, last] = [samples[0], samples.at(-1)];
      const seconds = first && last ? last.atSeconds - first.atSeconds : 0;
      return {
        atSeconds: now(),
        lights: { ...conditions },
        ...totals,
        pricePerMillionUnits: tariff?.pricePerMillionUnits ?? 0,
        paymentsPerSecond: seconds > 0 ? (last!.payments - first!.payments) / seconds : 0,
      };
    },
    light: (device) => byDevice.get(device) ?? null,
    lights,
    get revision() {
      return revision;
    },
    changedSince(since, limit) {
      const changed: Light[] = [];
      if (since >= revision) return changed;
      for (const light of byChange.values()) {
        if (light.revision <= since) continue;
        changed.push(light);
        if (changed.length >= limit) break;
      }
      return changed;
    },
    history,
  };
}
