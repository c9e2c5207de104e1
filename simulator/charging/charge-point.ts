/**
 * A charge point that is not there: its connector, relay, meter and clock, and a car that comes and goes.
 *
 * Promise: what flows is the least of what the car takes and what its profiles allow, followed `followMs` late, and the
 * energy delivered is the exact integral of it over the clock's time. It does wrong what its faults name, and nothing else.
 */
import type { Clock, Random } from "#core/ports";
import { energyMilliwattHours } from "#core/units";
import type { OcppVersion } from "#hardware/charger/ocpp/ports";
import type { Car } from "./car.ts";
import type { ChargingFault } from "./charging-faults.ts";
import { type HeldProfile, HeldProfiles } from "./charging-limits.ts";
import { NamedTimers } from "./named-timers.ts";
import { handlers2, voice2 } from "./station-2.ts";
import { handlers16, voice16 } from "./station-16.ts";
import { type Dial, StationLink } from "./station-link.ts";
import { StationMeter } from "./station-meter.ts";
import type {
  EndReason,
  PlugState,
  RunningTransaction,
  ShownMeter,
  StationOrders,
  StationVoice,
} from "./station-voice.ts";

const CARD = "04A1B2C3";
const HEARTBEAT_MS = 300_000;
const BOOT_MS = 20_000;
const LATE_MS = 30_000;
const DAY_SECONDS = 86_400;
const STORM_MESSAGES = 400;
/** Between two looks at what the car takes as it fills. */
const LOOK_MS = 15_000;

export interface ChargePointParts {
  /** How it connects to its central system. */
  readonly dial: Dial;
  readonly version: OcppVersion;
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: readonly ChargingFault[];
  /** Highest power of the hardware, milliwatts. */
  readonly maxMilliwatts: number;
  readonly milliwattsPerAmp: number;
  /** How long relay and car take to follow a limit, milliseconds. */
  readonly followMs: number;
  /** What its meter shows at first, milliwatt-hours. */
  readonly meterInitial: number;
  readonly onWait: (waits: boolean) => void;
}

export class ChargePoint {
  readonly #parts: ChargePointParts;
  readonly #link: StationLink;
  readonly #voice: StationVoice;
  readonly #profiles = new HeldProfiles();
  readonly meter: StationMeter;
  #car: Car | null = null;
  #transaction: RunningTransaction | null = null;
  #offeredMilliwatts = 0;
  #atMs: number;
  #delivered = 0;
  /** Delivered when the transaction began. */
  #beganAt = 0;
  #limitMilliwattHours = Number.POSITIVE_INFINITY;
  #clockOffSeconds: number;
  #reportMs = 60_000;
  #state: PlugState = "available";
  #off = false;
  #ignores = false;
  #shownCost: number | null = null;
  readonly #timers: NamedTimers;

  constructor(parts: ChargePointParts) {
    this.#parts = parts;
    this.#timers = new NamedTimers(parts.clock);
    this.#atMs = parts.clock.nowMs();
    this.#clockOffSeconds = this.#has("clock-off-by-a-day") ? -DAY_SECONDS : 0;
    this.#ignores = this.#has("ignores-limits");
    this.meter = new StationMeter(parts.meterInitial, this.#has("meter-per-transaction"));
    const byPhases = this.#has("meter-by-phases");
    const form = { byPhases, unit: byPhases ? "kWh" : "Wh" } as const;
    const orders = this.#orders();
    const say: StationLink["send"] = (method, params, kept, answered) =>
      this.#link.send(method, params, kept, answered);
    const { version, dial, clock, onWait } = parts;
    this.#link = new StationLink({
      dial,
      clock,
      onWait,
      handlers: version === "1.6" ? handlers16(orders) : handlers2(orders),
      onConnected: () => this.#greet(),
    });
    this.#voice =
      version === "1.6" ? voice16(say, orders, form) : voice2(say, orders, form, () => this.#link.isOpen());
    this.#link.connect();
    this.#timers.every(
      "heartbeat",
      () => HEARTBEAT_MS,
      () => this.#voice.heartbeat(),
    );
  }

  // ---- what is true ----

  /** Since it was made, not rounded. */
  deliveredMilliwattHours(): number {
    this.#integrate();
    return this.#delivered;
  }
  powerMilliwatts(): number {
    return this.#power();
  }
  isConnected(): boolean {
    return this.#link.isOpen();
  }
  isInTransaction(): boolean {
    return this.#transaction !== null;
  }
  /** What the display shows; null while it shows nothing. */
  shownCost(): number | null {
    return this.#shownCost;
  }
  chargedShare(): number | null {
    return this.#car?.charged() ?? null;
  }

  // ---- what happens to it ----

  plug(car: Car): void {
    this.#car = car;
    this.#say("plugged");
    if (this.#has("two-connectors")) this.#voice.status(2, "plugged");
    if (this.#has("starts-by-itself")) this.#begin(CARD, null);
  }

  /** The driver shows a card. */
  showCard(idTag: string = CARD): void {
    this.#voice.authorize(idTag, (accepted) => {
      if (accepted && this.#car !== null && this.#transaction === null) this.#begin(idTag, null);
    });
  }

  unplug(): void {
    this.#integrate();
    this.#car = null;
    if (this.#has("leaves-without-stopping")) this.#forget();
    else this.#end("unplugged");
    this.#say("available");
  }

  /** Its faults that have a time strike now. */
  strike(): void {
    if (this.#has("breaks-limits")) {
      this.#ignores = true;
      this.#follow();
    }
    if (this.#has("status-storm"))
      for (let count = 0; count < STORM_MESSAGES; count++) this.#voice.status(1, this.#state);
    if (this.#has("meter-backwards")) this.meter.goBackwards(this.deliveredMilliwattHours());
    if (this.#has("reboots")) this.#reboot();
    if (this.#has("dies")) this.loseLink(null);
    if (this.#has("queues-offline")) this.loseLink(60_000 + 240_000 * this.#parts.random());
  }

  /** The link is gone for so long, or for ever with null. */
  loseLink(forMs: number | null): void {
    this.#parts.onWait(true);
    this.#link
      .drop()
      .finally(() => this.#parts.onWait(false))
      .catch(() => {});
    if (forMs !== null) this.#timers.after("link", forMs, () => this.#link.connect());
  }

  /** A link that is lost is found again now. */
  findLink(): void {
    if (!this.#off) this.#link.connect();
  }

  /** Its register stands where it is, whatever flows. */
  stickMeter(): void {
    this.meter.stick(this.#shown());
  }

  async close(): Promise<void> {
    this.#off = true;
    this.#timers.close();
    await this.#link.drop();
  }

  // ---- its life ----

  #greet(): void {
    this.#voice.boot((currentSeconds) => {
      // Some never set their clock.
      if (!this.#has("clock-off-by-a-day")) this.#clockOffSeconds = currentSeconds - this.#wallSeconds();
    });
    this.#say(this.#state);
  }

  #begin(idTag: string, remoteStartId: number | null): void {
    this.#integrate();
    this.#beganAt = this.#delivered;
    this.meter.begin(this.#delivered);
    this.#limitMilliwattHours = Number.POSITIVE_INFINITY;
    const { version, clock } = this.#parts;
    const id =
      version === "1.6" ? null : `${Math.round(clock.nowMs())}-${Math.floor(this.#parts.random() * 1e9)}`;
    const transaction: RunningTransaction = { id, sequence: 0, idTag, remoteStartId };
    this.#transaction = transaction;
    this.#voice.began(transaction, this.#shown(), (accepted) => {
      if (!accepted && this.#transaction === transaction) this.#end("refused");
      else this.#follow();
    });
    this.#say("charging");
    this.#follow();
    this.#timers.every(
      "report",
      () => this.#reportMs,
      () => this.#report(),
    );
    this.#timers.every(
      "look",
      () => LOOK_MS,
      () => this.#follow(),
    );
  }

  #end(reason: EndReason): void {
    const transaction = this.#transaction;
    if (transaction === null) return;
    this.#integrate();
    this.#forget();
    this.#voice.ended(transaction, this.#shown(), reason);
    if (this.#car !== null) this.#say("finishing");
  }

  #forget(): void {
    this.#integrate();
    this.#transaction = null;
    this.#profiles.endTransaction();
    this.#offeredMilliwatts = 0;
    for (const name of ["report", "look", "follow", "change"]) this.#timers.cancel(name);
  }

  #reboot(): void {
    const transaction = this.#transaction;
    const shown = this.#shown();
    this.#forget();
    this.loseLink(BOOT_MS);
    this.#timers.after("boot", BOOT_MS, () => {
      if (transaction !== null) this.#voice.ended(transaction, shown, "reboot");
      this.#state = this.#car === null ? "available" : "plugged";
    });
  }

  // ---- power ----

  #power(): number {
    if (this.#car === null || this.#transaction === null) return 0;
    return this.#car.powerFor(this.#offeredMilliwatts);
  }

  #integrate(): void {
    const nowMs = this.#parts.clock.nowMs();
    const energy = energyMilliwattHours(this.#power(), nowMs - this.#atMs);
    this.#atMs = nowMs;
    this.#delivered += energy;
    this.#car?.take(energy);
  }

  /** What profiles allow now reaches the car `followMs` later; looked at again when it changes by itself. */
  #follow(): void {
    if (this.#off) return;
    this.#integrate();
    const allowed = this.#allowed();
    if (allowed !== this.#offeredMilliwatts) {
      this.#timers.after("follow", this.#parts.followMs, () => {
        this.#integrate();
        if (this.#transaction !== null) this.#offeredMilliwatts = this.#allowed();
      });
    }
    const now = this.#stationSeconds();
    const changeMs = Math.ceil((this.#profiles.nextChange(now) - now) * 1000);
    if (this.#transaction !== null && changeMs < DAY_SECONDS * 1000)
      this.#timers.after("change", Math.max(1, changeMs), () => this.#follow());
    if (
      this.#transaction !== null &&
      !this.#ignores &&
      this.#delivered - this.#beganAt >= this.#limitMilliwattHours
    )
      this.#end("energy-limit");
  }

  #allowed(): number {
    if (this.#transaction === null) return 0;
    const { maxMilliwatts } = this.#parts;
    // One that is wired for more than was said of it.
    if (this.#ignores) return 2 * maxMilliwatts;
    return Math.min(
      maxMilliwatts,
      this.#profiles.limitAt(this.#stationSeconds(), this.#transaction.id ?? "-"),
    );
  }

  // ---- what it shows ----

  #report(): void {
    const transaction = this.#transaction;
    if (transaction === null) return;
    const shown = this.#shown();
    if (!this.meter.reports()) return;
    if (!this.#has("reports-late")) this.#voice.report(transaction, shown);
    else this.#timers.after(`late ${shown.atSeconds}`, LATE_MS, () => this.#voice.report(transaction, shown));
  }

  #shown(): ShownMeter {
    this.#integrate();
    return this.meter.shown(this.#delivered, this.#power(), this.#stationSeconds());
  }

  #say(state: PlugState): void {
    this.#state = state;
    this.#voice.status(1, state);
  }

  #orders(): StationOrders {
    return {
      setProfile: (profile) => this.#takeProfile(profile),
      milliwattsOf: (rate, unit) => (unit === "W" ? rate * 1000 : rate * this.#parts.milliwattsPerAmp),
      stationSeconds: () => this.#stationSeconds(),
      start: (idTag, remoteStartId) => {
        if (this.#car === null || this.#transaction !== null) return false;
        this.#timers.after("start", 1000, () => {
          if (this.#car !== null && this.#transaction === null) this.#begin(idTag, remoteStartId);
        });
        return true;
      },
      stop: (transactionId) => {
        if (this.#transaction?.id !== transactionId) return false;
        this.#timers.after("stop", this.#parts.followMs, () => this.#end("remote"));
        return true;
      },
      setInterval: (seconds) => {
        this.#reportMs = seconds * 1000;
      },
      askedReport: () => {
        this.#timers.after("asked", 500, () => this.#report());
        return this.#transaction !== null;
      },
      limitTransaction: (milliwattHours) => {
        this.#limitMilliwattHours = milliwattHours;
      },
      showCost: (cost) => {
        this.#shownCost = cost;
      },
    };
  }

  #takeProfile(profile: HeldProfile): boolean {
    const least = 6 * this.#parts.milliwattsPerAmp;
    if (this.#has("refuses-profiles")) return false;
    if (this.#has("refuses-zero") && profile.periods.some(({ milliwatts }) => milliwatts < least - 1))
      return false;
    if (profile.purpose === "TxProfile" && profile.transactionId !== this.#transaction?.id) return false;
    this.#profiles.set(profile);
    this.#follow();
    return true;
  }

  #has(fault: ChargingFault): boolean {
    return this.#parts.faults.includes(fault);
  }

  #wallSeconds(): number {
    return this.#parts.clock.wallSeconds() ?? 0;
  }

  #stationSeconds(): number {
    return this.#wallSeconds() + this.#clockOffSeconds;
  }
}
