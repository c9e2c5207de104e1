/**
 * A charge point with its car, and the device's side of it: what a fleet plugs into a machine's host as its meter, load and
 * plan.
 *
 * Promise: both sides speak real OCPP over a real WebSocket of this machine, on the clock that is given; nothing of the
 * device's side is imitated. What was really delivered is known to the milliwatt-hour.
 */
import type { State } from "#core/machine";
import type { Almanac, Clock, Lamp, Meter, Random } from "#core/ports";
import { smallestQuantum } from "#hardware/charger/limits/smallest-quantum";
import type { OcppVersion } from "#hardware/charger/ocpp/ports";
import { openCharger } from "#hardware/charger/open-charger";
import { readChargerSettings } from "#hardware/charger/settings";
import type { OfferWish } from "#node/host-parts";
import { Watt402Error } from "#payment/watt402-error";
import { Car, type CarModel, COMPACT_CAR } from "./car.ts";
import { ChargePoint } from "./charge-point.ts";
import { type ChargingFault, obeys } from "./charging-faults.ts";
import { dialWebSocket } from "./station-socket.ts";

/** A car's visit, seconds of the clock since the site was opened. */
export interface Stay {
  readonly plugSeconds: number;
  /** Infinity: it stays. */
  readonly leaveSeconds: number;
  /** When it comes, 0..1. */
  readonly charged: number;
}

export interface ChargingSiteOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly version: OcppVersion;
  readonly car?: CarModel;
  readonly stays?: readonly Stay[];
  readonly faults?: readonly ChargingFault[];
  /** When faults that have a time strike, seconds of the clock since the site was opened. */
  readonly strikeSeconds?: number;
  /** What one purchase should last for, mWh; the smallest that works when absent. */
  readonly wantedUnits?: number;
  /** Keys of `[charger]` that differ from what a site has: identity, port and phases are its own. */
  readonly charger?: Readonly<Record<string, unknown>>;
  /** Called before and after whatever one side has to answer the other: a fast clock may wait for it. */
  readonly onWait?: (waits: boolean) => void;
}

export interface ChargingSite {
  readonly meter: Meter;
  readonly load: Lamp;
  readonly almanac: Almanac;
  readonly offerWish: OfferWish;
  /** To be called with each state of the machine: what is paid bounds what may flow. */
  observe(state: State): void;
  /** What the machine's settings are to be for this load. */
  readonly settings: {
    readonly ratedMilliwatts: number;
    readonly tickMs: number;
    readonly powerMaxMilliwatts: number;
  };
  /** What one purchase should last for, mWh: at least the smallest quantum. */
  readonly wantedUnits: number;
  /** Power of the charge point, milliwatts. */
  readonly maxMilliwatts: number;
  /** False for a charge point whose faults break limits: nothing is promised of its overshoot. */
  readonly obeys: boolean;
  readonly truth: {
    /** Really delivered since the site was opened, not rounded. */
    deliveredMilliwattHours(): number;
    powerMilliwatts(): number;
    isConnected(): boolean;
    isInTransaction(): boolean;
    /** What the charge point's display shows, in currency. */
    shownCost(): number | null;
    /** Of the car that is there, 0..1; null without one. */
    chargedShare(): number | null;
  };
  /** Delivered above confirmed limits, as the device's side found it, mWh. */
  excessMilliwattHours(): number;
  /** Why the load is not served, in one line; "load-disobeys: ..." for one that broke its limits. */
  trouble(): string | null;
  /** What is odd and no trouble, in one line. */
  remark(): string | null;
  readonly chargePoint: ChargePoint;
  close(): Promise<void>;
}

const VOLTS = 230;
const AMPS = 16;
const PHASES = 3;
const PASSWORDLESS_HOST = "127.0.0.1";
const FOLLOW_MS = 2000;
const CHARGED_MAX = 0.7;

let sites = 0;

/** A charge point's clock goes on where the fleet's wall clock stands: until the evening begins. */
function clockOfItsOwn(clock: Clock): Clock {
  const epochSeconds = (clock.wallSeconds() ?? 0) - clock.nowMs() / 1000;
  return {
    nowMs: () => clock.nowMs(),
    wallSeconds: () => epochSeconds + clock.nowMs() / 1000,
    at: (ms, wake) => clock.at(ms, wake),
  };
}

/** Resolves once the charge point's address is open; it connects, boots and gets its car by itself. */
export async function openChargingSite(options: ChargingSiteOptions): Promise<ChargingSite> {
  const { clock, random, version, faults = [], car = COMPACT_CAR, onWait = () => {} } = options;
  const identity = `site-${++sites}`;
  const table = siteTable(identity, options.charger);
  const wantedUnits = options.wantedUnits ?? smallestQuantum(readChargerSettings(table).times);
  const { charger, settings, listen } = openCharger(table, {
    clock,
    wantedUnits,
    stateDirectory: null,
    onWait,
  });
  const at = await listen();
  if (at === null) throw new Watt402Error("in-use", charger.load.trouble() ?? "expected a free port");
  const maxMilliwatts = AMPS * PHASES * VOLTS * 1000;
  const point = new ChargePoint({
    dial: dialWebSocket({ url: `ws://${PASSWORDLESS_HOST}:${at}`, identity, password: null, version }),
    version,
    clock: clockOfItsOwn(clock),
    random,
    faults,
    maxMilliwatts,
    milliwattsPerAmp: PHASES * VOLTS * 1000,
    followMs: FOLLOW_MS,
    meterInitial: Math.floor(random() * 1e9) * 1000,
    onWait,
  });
  const model = obeys(faults) ? car : { ...car, maxMilliwatts: 2 * maxMilliwatts };
  const beganMs = clock.nowMs();
  const timers = visitsOf(options, random).flatMap(({ plugSeconds, leaveSeconds, charged }) => [
    clock.at(beganMs + plugSeconds * 1000, () => point.plug(new Car(model, charged))),
    ...(Number.isFinite(leaveSeconds) ? [clock.at(beganMs + leaveSeconds * 1000, () => point.unplug())] : []),
  ]);
  if (options.strikeSeconds !== undefined)
    timers.push(clock.at(beganMs + options.strikeSeconds * 1000, () => point.strike()));
  return {
    meter: charger.meter,
    load: charger.load,
    almanac: charger.almanac,
    offerWish: charger.offerWish,
    observe: (state) => charger.observe(state),
    settings: {
      ratedMilliwatts: 0,
      tickMs: settings.times.reportMs,
      powerMaxMilliwatts: settings.range.maxMilliwatts,
    },
    wantedUnits,
    maxMilliwatts,
    obeys: obeys(faults),
    truth: point,
    excessMilliwattHours: () => charger.excessMilliwattHours(),
    trouble: () => charger.load.trouble(),
    remark: () => charger.remark(),
    chargePoint: point,
    close: async () => {
      for (const cancel of timers) cancel();
      await charger.load.close();
      await point.close();
    },
  };
}

/** `[charger]` of a device at a simulated charge point. */
export function siteTable(identity: string, more: ChargingSiteOptions["charger"] = {}) {
  return {
    host: PASSWORDLESS_HOST,
    port: 0,
    identity,
    phases: PHASES,
    volts: VOLTS * 1.1,
    max_amps: AMPS,
    ...more,
  };
}

/** One car that comes soon and stays, where nothing else is said. */
function visitsOf({ stays }: ChargingSiteOptions, random: Random): readonly Stay[] {
  if (stays !== undefined) return stays;
  const [plugSeconds, charged] = [10 + 50 * random(), CHARGED_MAX * random()];
  return [{ plugSeconds, leaveSeconds: Number.POSITIVE_INFINITY, charged }];
}
