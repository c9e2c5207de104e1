/**
 * A charge point on a site of a world, with the cars that come to it, and the device's own side of OCPP for each life of
 * its process.
 *
 * Promise: the device's rules are hardware/charger's and the charge point is simulator/charging's, unchanged; between them
 * is OcppLink instead of a socket. The charge point outlives the device's process and its power.
 */
import type { Clock } from "#core/ports";
import { Charger } from "#hardware/charger/charger";
import { fileStore, type KeptFile } from "#hardware/charger/metering/kept-charger";
import { VERSIONS } from "#hardware/charger/ocpp/ports";
import { dialectPartsOf } from "#hardware/charger/open-charger";
import type { ChargerSettings } from "#hardware/charger/settings";
import { Car, COMPACT_CAR } from "../../charging/car.ts";
import { ChargePoint } from "../../charging/charge-point.ts";
import { type ChargingFault, obeys, STRIKING } from "../../charging/charging-faults.ts";
import { type Draw, pick } from "../../city/random.ts";
import type { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { World } from "../engine/world.ts";
import type { OpenMemory } from "./memory.ts";
import { OcppLink } from "./ocpp-link.ts";
import type { LoadParts, SiteLoad } from "./site-load.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const FOLLOW_MS = 2000;
/** How long cars stay, and the connector is free between them. */
const STAY_MS = [20 * MINUTE_MS, 5 * HOUR_MS] as const;
const FREE_MS = [MINUTE_MS, 40 * MINUTE_MS] as const;
const CHARGED_MAX = 0.9;
/** Between two strikes of its faults, on average. */
const STRIKE_MS = 2 * HOUR_MS;
/** Three looks and the reports before them: a device that had taken a wrong counter for right takes it back. */
const DOUBT_MS = 20 * MINUTE_MS;
const KEPT_FILE = "/var/lib/watt402/charger.json";

/** The minimum that a charge point keeps which refuses 0, and what one without profiles begins by itself, nobody pays. */
const UNBOUND: readonly ChargingFault[] = ["refuses-zero", "refuses-profiles"];

export interface ChargingParts {
  readonly world: World;
  readonly faults: Faults;
  readonly draw: Draw;
  readonly name: string;
  readonly epochSeconds: number;
  readonly settings: ChargerSettings;
  readonly meterInitial: number;
}

export class ChargingEquipment implements SiteLoad {
  /** The device's disk is one of before its meter began at 0 again: what it counted in between is unknown. */
  hidReset = false;
  readonly isBound: boolean;
  readonly disobeys: boolean;
  readonly #parts: ChargingParts;
  readonly #kinds: readonly ChargingFault[];
  readonly #link: OcppLink;
  readonly #point: ChargePoint;
  readonly #maxMilliwatts: number;
  #charger: Charger | null = null;
  #doubtedUntilMs = 0;
  /** What the device has kept of it: the latest last, with how often the meter had begun at 0 by then. */
  readonly #kept: { readonly text: string | null; readonly restarts: number }[] = [
    { text: null, restarts: 0 },
  ];

  constructor(parts: ChargingParts) {
    const { world, faults, draw, epochSeconds, settings, meterInitial } = parts;
    this.#parts = parts;
    this.#kinds = faults.drawChargingFaults(draw);
    this.disobeys = !obeys(this.#kinds);
    this.isBound = !this.disobeys && !this.#kinds.some((kind) => UNBOUND.includes(kind));
    const version = pick(VERSIONS, draw);
    this.#link = new OcppLink(world, draw, version);
    // What the device's side knows is the highest voltage; the network's is lower.
    const milliwattsPerAmp = (settings.phases * settings.volts * 1000) / 1.1;
    this.#maxMilliwatts = settings.max_amps * milliwattsPerAmp;
    this.#point = new ChargePoint({
      dial: this.#link.dial,
      version,
      clock: {
        nowMs: () => world.nowMs,
        wallSeconds: () => epochSeconds + world.nowMs / 1000,
        at: (ms, wake) => world.at(ms, wake),
      },
      random: draw,
      faults: this.#kinds,
      maxMilliwatts: this.#maxMilliwatts,
      milliwattsPerAmp,
      followMs: FOLLOW_MS,
      meterInitial,
      onWait: () => {},
    });
    this.#awaitCar();
  }

  get isLit(): boolean {
    return this.#point.powerMilliwatts() > 0;
  }
  get levelPercent(): number {
    return Math.round((100 * this.#point.powerMilliwatts()) / this.#maxMilliwatts);
  }
  get isWrong(): boolean {
    if (this.#charger?.isStored() === false) return true;
    return !this.#point.meter.isRight || this.#parts.world.nowMs < this.#doubtedUntilMs;
  }
  get isNamed(): boolean {
    // One that confirms no limit breaks none: it is named for that, and not served.
    const refuses = this.#kinds.includes("refuses-profiles") && this.#trouble.includes("TxDefaultProfile");
    return refuses || this.isAccused;
  }
  get isAccused(): boolean {
    return this.#trouble.startsWith("load-disobeys: ");
  }
  get #trouble(): string {
    return this.#charger?.load.trouble() ?? "";
  }

  wantedPercent(): number {
    const charged = this.#point.chargedShare();
    if (charged === null || charged >= 1) return 0;
    return this.disobeys || this.#kinds.includes("refuses-profiles") ? 0 : 100;
  }
  deliveredUnits(): number {
    return this.#point.deliveredMilliwattHours();
  }
  meteredUnits(): number {
    return this.deliveredUnits();
  }
  bypass(): void {
    // A cable around a charge point's meter is no car's to lay.
  }

  // ---- the device ----

  open(life: ProcessLifetime, clock: Clock, memory: OpenMemory): LoadParts {
    const { settings, world, name } = this.#parts;
    const kept = this.#watched(memory.file(KEPT_FILE));
    const charger = new Charger({ settings, clock, store: fileStore(KEPT_FILE, kept) });
    this.#charger = charger;
    this.#link.listen({
      life,
      dialect: dialectPartsOf(charger, settings),
      onStation: (commands) => {
        world.note(`${name} ${commands === null ? "lost its charge point" : `speaks ${commands.version}`}`);
        charger.station(commands);
      },
    });
    const { meter, load, almanac, offerWish } = charger;
    return {
      meter,
      lamp: load,
      almanac,
      offerWish,
      observe: (state) => charger.observe(state),
    };
  }

  #watched({ read, write }: KeptFile): KeptFile {
    return {
      read: () => {
        const text = read();
        // What was written last is what is read, but on a disk that became another one.
        const image = this.#kept.findLast((one) => one.text === text);
        this.hidReset ||= image !== undefined && image.restarts < this.#kept.at(-1)!.restarts;
        return text;
      },
      write: (text) => {
        write(text);
        this.#kept.push({ text, restarts: this.#point.meter.restarts });
      },
    };
  }

  left(): void {
    this.#link.end();
  }
  cutPower(): void {
    // It has a supply of its own.
  }
  end(): void {
    this.#point.unplug();
    this.#point.close().catch(() => {});
  }

  // ---- what happens to it ----

  trouble(untilMs: number): void {
    const { world, draw, faults, name } = this.#parts;
    world.note(`${name} charge point: ${this.#kinds.join(", ") || "without faults"}`);
    for (const kind of this.#kinds.filter((one) => !STRIKING.includes(one))) faults.fired(kind);
    const striking = this.#kinds.filter((kind) => STRIKING.includes(kind));
    if (striking.length === 0) return;
    for (let atMs = -Math.log(1 - draw()) * STRIKE_MS; atMs < untilMs; ) {
      world.at(atMs, () => {
        world.note(`${name} charge point strikes`);
        for (const kind of striking) faults.fired(kind);
        this.#point.strike();
      });
      atMs -= Math.log(1 - draw()) * STRIKE_MS;
    }
  }

  stick(): void {
    this.#point.stickMeter();
    this.#parts.faults.fired("meter-stuck");
  }
  silence(): void {
    this.#point.meter.silence();
    this.#parts.faults.fired("meter-silent");
  }
  spike(units: number): void {
    this.#point.meter.exceed(units);
    this.#parts.faults.fired("meter-spike");
  }
  /** Only where the device sees it: what nobody saw before is lost with it. */
  reset(): boolean {
    const { meter } = this.#point;
    if (!this.#point.isConnected() || this.isWrong || meter.isSilent) return false;
    meter.reset(this.#point.deliveredMilliwattHours());
    this.#parts.faults.fired("meter-reset");
    return true;
  }
  heal(): void {
    if (this.isWrong) this.#doubtedUntilMs = this.#parts.world.nowMs + DOUBT_MS;
    this.#point.meter.mend();
    this.#point.findLink();
  }

  #awaitCar(): void {
    const { world, draw } = this.#parts;
    world.after(between(draw, FREE_MS), () => {
      const maxMilliwatts = (this.disobeys ? 2 : 1) * COMPACT_CAR.maxMilliwatts;
      this.#point.plug(new Car({ ...COMPACT_CAR, maxMilliwatts }, CHARGED_MAX * draw()));
      world.after(between(draw, STAY_MS), () => {
        this.#point.unplug();
        this.#awaitCar();
      });
    });
  }
}

function between(draw: Draw, [least, most]: readonly [number, number]): number {
  return least + (most - least) * draw();
}
