/**
 * The result of a run: one JSON document, or the same as lines for people.
 */
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import type { BoardsResult } from "./fleet/lights/board-lights.ts";
import type { Feeder } from "./fleet/reconciliation/feeders.ts";
import { type Gas, gasOf } from "./fleet/reconciliation/gas.ts";
import type { InvariantMonitor } from "./fleet/reconciliation/invariant-monitor.ts";
import {
  type MovingPart,
  movingLine,
  movingOf,
  type SellersDevice,
} from "./fleet/reconciliation/moving-devices.ts";
import type { Amounts, NotBought, Reconciliation } from "./fleet/reconciliation/reconciliation.ts";
import type { Violation } from "./fleet/reconciliation/violation.ts";
import type { Evening, EveningLight, Progress } from "./fleet/recorded-evening.ts";
import type { PlayedStage } from "./fleet/scenario-runner.ts";
import { CHEATS, type Cheat } from "./scenario/actions.ts";
import type { StopReport } from "./seller/seller.ts";

/** Decimal strings, atomic token units. */
type AmountsText = Readonly<Record<keyof Amounts, string>>;

/** What is of one of several chains. */
interface ChainPart extends PaymentToken {
  readonly lights: number;
  readonly payments: number;
  readonly amountAtomic: AmountsText;
  readonly gas: Gas | null;
  readonly conserved: boolean;
}

/** The devices of one profile. */
interface ProfilePart {
  readonly profile: string;
  readonly unit: string;
  readonly devices: number;
  /** Units by the meters, and by the sellers' accounts. */
  readonly consumed: number;
  readonly granted: number;
  readonly payments: number;
}

export interface Result {
  /** Devices of any profile. */
  readonly lights: number;
  /** In which all devices count, or "mixed". */
  readonly unit: string;
  readonly profiles: readonly ProfilePart[];
  /** Of devices that move from seller to seller: each of these; none where nothing moves. */
  readonly moving: readonly MovingPart[];
  readonly simulatedMinutes: number;
  readonly wallMs: number;
  readonly payments: { readonly made: number; readonly resent: number; readonly refused: number };
  /** Of the devices that count in mWh. */
  readonly energyMilliwattHours: { readonly consumed: number; readonly granted: number };
  /** Null where there are several chains: amounts of different tokens make no sum. */
  readonly amountAtomic: AmountsText | null;
  /** Each chain by itself; null where there is only one. */
  readonly chains: readonly ChainPart[] | null;
  /** From a PAY's first publication to its grant: real time, and in a world virtual time. */
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Null when the seller runs elsewhere, and where there are several chains. */
  readonly gas: Gas | null;
  /** MQTT payload bytes of PAY and GRANT frames, repetitions included, over payments made. */
  readonly bytesPerPayment: { readonly up: number; readonly down: number };
  /** Lights at the end of the evening, before they were stopped. */
  readonly atEnd: {
    readonly lit: number;
    readonly dark: number;
    readonly starved: number;
    readonly offline: number;
  };
  /** Simulated time in which lamps should have shone and did not, summed over the lights. */
  readonly starvedLightSeconds: number;
  /** The longest such time of one light in one piece. */
  readonly longestStarvedSeconds: number;
  readonly scenario: string;
  /** Stages that began, at simulated minutes. */
  readonly stages: readonly { readonly minute: number; readonly name: string; readonly lights: number }[];
  /** What cabinets supplied and their lights' registers reported, mWh, and the cabinets where rounding does not explain the difference. */
  readonly feeders: {
    readonly suppliedMilliwattHours: number;
    readonly registeredMilliwattHours: number;
    readonly missingMilliwattHours: number;
    readonly suspected: readonly string[];
  };
  readonly cheats: readonly CheatResult[];
  /** Lights that ran an Espruino board's bundle; null without any. */
  readonly boards: BoardsResult | null;
  readonly conserved: boolean;
  readonly violations: readonly Violation[];
  /** Lights that signed, and no money of theirs moved. */
  readonly notBought: readonly NotBought[];
}

interface CheatResult {
  readonly cheat: Cheat;
  readonly lights: number;
  /** Messages that an honest light would not have sent. */
  readonly frames: number;
  /** Drawn past the meter, mWh. */
  readonly gainedMilliwattHours: number;
}

/** How a run stood at one seller at its end. */
interface Books extends PaymentToken {
  readonly lights: readonly SellersDevice[];
  readonly reconciliation: Reconciliation;
  readonly stopReport: StopReport | null;
}

interface ResultParts {
  readonly lights: number;
  readonly wallMs: number;
  readonly evening: Pick<Evening, "lights" | "latenciesMs">;
  /** As the evening ended. */
  readonly atEnd: Progress;
  /** Of each seller; never empty. */
  readonly books: readonly Books[];
  readonly payBytes: number;
  readonly grantBytes: number;
  readonly scenario: string;
  readonly stages: readonly PlayedStage[];
  readonly feeders: readonly Feeder[];
  readonly boards: BoardsResult | null;
}

export function resultOf(parts: ResultParts): Result {
  const { evening, books } = parts;
  const { lit, dark, starved, offline, simulatedMs } = parts.atEnd;
  const monitors = evening.lights.map((light) => light.monitor);
  const total = (of: (monitor: InvariantMonitor) => number) =>
    monitors.reduce((sum, monitor) => sum + of(monitor), 0);
  const made = total((monitor) => monitor.made);
  const resent = total((monitor) => monitor.resent);
  const refused = total((monitor) => monitor.refused);
  const violations = books.flatMap(({ reconciliation }) => reconciliation.violations);
  const chains = partsOf(books);
  const several = chains.length > 1 ? chains : null;
  const [whole] = chains as [ChainPart];
  const profiles = profilesOf(books);
  const units = new Set(profiles.map(({ unit }) => unit));
  const energy = (of: (part: ProfilePart) => number) =>
    profiles.reduce((sum, part) => sum + (part.unit === "mWh" ? of(part) : 0), 0);
  const perPayment = (bytes: number, frames: number) => (made === 0 ? 0 : round((bytes * frames) / made, 2));
  return {
    lights: parts.lights,
    unit: units.size > 1 ? "mixed" : (profiles[0]?.unit ?? "mWh"),
    profiles,
    moving: movingOf(books),
    simulatedMinutes: round(simulatedMs / 60_000, 3),
    wallMs: parts.wallMs,
    payments: { made, resent, refused },
    energyMilliwattHours: {
      consumed: energy((one) => one.consumed),
      granted: energy((one) => one.granted),
    },
    amountAtomic: several === null ? whole.amountAtomic : null,
    chains: several,
    latencyMs: { p50: percentile(evening.latenciesMs, 50), p99: percentile(evening.latenciesMs, 99) },
    gas: several === null ? whole.gas : null,
    bytesPerPayment: {
      up: perPayment(
        parts.payBytes,
        total((monitor) => monitor.framesUp),
      ),
      down: perPayment(
        parts.grantBytes,
        total((monitor) => monitor.framesDown),
      ),
    },
    atEnd: { lit, dark, starved, offline },
    starvedLightSeconds: round(total((monitor) => monitor.starvation().totalMs) / 1000, 1),
    longestStarvedSeconds: round(
      monitors.reduce((longest, monitor) => Math.max(longest, monitor.starvation().longestMs), 0) / 1000,
      1,
    ),
    scenario: parts.scenario,
    stages: parts.stages.map(({ stage, lights }) => ({
      minute: round(stage.startMs / 60_000, 3),
      name: stage.name,
      lights,
    })),
    feeders: feederSums(parts.feeders),
    cheats: cheatsOf(evening.lights),
    boards: parts.boards,
    conserved: violations.length === 0,
    violations,
    notBought: books.flatMap((one) => one.reconciliation.notBought),
  };
}

/** Each token by itself: amounts of one token make a sum, whichever seller they went to. */
function partsOf(books: readonly Books[]): ChainPart[] {
  const tokens = new Map(books.map((one) => [tokenName(one), one]));
  return [...tokens].map(([token, { network, asset }]) => {
    const own = books.filter((one) => tokenName(one) === token);
    const lights = own.flatMap((one) => one.lights);
    const payments = lights.reduce((sum, { monitor }) => sum + monitor.made, 0);
    const reports = own.map(({ stopReport }) => stopReport);
    return {
      ...{ network, asset, lights: new Set(lights.map(({ name }) => name)).size, payments },
      amountAtomic: sumOf(own.map(({ reconciliation }) => reconciliation.amounts)),
      gas: reports.every((one) => one !== null) ? gasOf(reports, payments) : null,
      conserved: own.every(({ reconciliation }) => reconciliation.violations.length === 0),
    };
  });
}

function profilesOf(books: readonly Books[]): ProfilePart[] {
  const devices = books.flatMap(({ lights, reconciliation }) =>
    lights.map(({ name, site, monitor }) => ({
      name,
      profile: site.profile,
      payments: monitor.made,
      ...reconciliation.used.get(name)!,
    })),
  );
  return [...new Set(devices.map(({ profile }) => profile))].map((profile) => {
    const own = devices.filter((one) => one.profile === profile);
    const sum = (of: "consumed" | "granted" | "payments") => own.reduce((total, one) => total + one[of], 0);
    return {
      profile: profile.name,
      unit: profile.goods.unit,
      devices: new Set(own.map(({ name }) => name)).size,
      consumed: sum("consumed"),
      granted: sum("granted"),
      payments: sum("payments"),
    };
  });
}

function sumOf(amounts: readonly Amounts[]): AmountsText {
  const text = (name: keyof Amounts) => String(amounts.reduce((sum, one) => sum + one[name], 0n));
  return {
    deposited: text("deposited"),
    signed: text("signed"),
    charged: text("charged"),
    claimed: text("claimed"),
    settled: text("settled"),
    refunded: text("refunded"),
    sellerBalance: text("sellerBalance"),
  };
}

function feederSums(feeders: readonly Feeder[]): Result["feeders"] {
  const sum = (of: (feeder: Feeder) => number) =>
    round(
      feeders.reduce((total, feeder) => total + of(feeder), 0),
      3,
    );
  return {
    suppliedMilliwattHours: sum((feeder) => feeder.suppliedMilliwattHours),
    registeredMilliwattHours: sum((feeder) => feeder.registeredMilliwattHours),
    missingMilliwattHours: sum((feeder) => feeder.missingMilliwattHours),
    suspected: feeders.filter(({ suspected }) => suspected).map(({ name }) => name),
  };
}

function cheatsOf(all: readonly EveningLight[]): CheatResult[] {
  return CHEATS.flatMap((cheat) => {
    const lights = all.filter((light) => light.cheats.has(cheat));
    if (lights.length === 0) return [];
    const sum = (of: (light: (typeof lights)[number]) => number) =>
      lights.reduce((total, light) => total + of(light), 0);
    const gainedMilliwattHours = round(
      sum((light) => light.drawnUnits() - light.meteredUnits()),
      3,
    );
    return [
      { cheat, lights: lights.length, frames: sum((light) => light.cheatFrames()), gainedMilliwattHours },
    ];
  });
}

/** The result as a person reads it. */
export function resultLines(result: Result): string[] {
  const { payments, latencyMs, bytesPerPayment, atEnd } = result;
  const lines = [
    `${result.lights} lights, ${result.simulatedMinutes} simulated minutes in ${(result.wallMs / 1000).toFixed(1)} s`,
    `payments   ${payments.made} made, ${payments.resent} sent again, ${payments.refused} refused for a while`,
    `answers    ${latencyMs.p50} ms in the middle, ${latencyMs.p99} ms for the slowest hundredth`,
    `bytes      ${bytesPerPayment.up} up and ${bytesPerPayment.down} down for a payment`,
    `lights     ${atEnd.lit} on, ${atEnd.dark} off, ${atEnd.starved} starved at the end`,
    `starved    ${starvedLine(result)}`,
    ...result.profiles.map(usedLine),
    ...result.moving.map(movingLine),
    ...cheatLines(result),
    ...boardLines(result),
    "",
    ...(result.chains?.flatMap(chainLines) ?? moneyLines(result)),
  ];
  lines.push("", ...notBoughtLines(result));
  if (result.conserved) return [...lines, "Conserved: every counter agrees to the last atomic unit."];
  const shown = result.violations.map(
    ({ invariant, light, expected, actual }) =>
      `  ${invariant} ${light}: expected ${expected}, found ${actual}`,
  );
  return [...lines, `NOT conserved, ${shown.length} violations:`, ...shown];
}

function usedLine(
  { profile, unit, devices, consumed, granted }: ProfilePart,
  _at: number,
  all: readonly unknown[],
) {
  const used =
    unit === "mWh"
      ? `energy     ${(consumed / 1e6).toFixed(6)} kWh consumed of ${(granted / 1e6).toFixed(6)} kWh granted`
      : `used       ${consumed} ${unit} of ${granted} ${unit} granted`;
  return all.length === 1 && unit === "mWh" ? used : `${used} (${profile}, ${devices} devices)`;
}

function chainLines(part: ChainPart): string[] {
  const { network, asset, lights, payments } = part;
  return [`on ${network}, token ${asset}: ${lights} lights, ${payments} payments`, ...moneyLines(part), ""];
}

function moneyLines({ amountAtomic: amount, gas }: Pick<Result, "amountAtomic" | "gas">): string[] {
  const dollars = (atomic: string) => `$${(Number(atomic) / 1e6).toFixed(6)}`.padStart(14);
  const money =
    amount === null
      ? []
      : [
          `signed by the lights     ${dollars(amount.signed)}   deposited ${dollars(amount.deposited).trim()}`,
          `charged by the seller    ${dollars(amount.charged)}`,
          `claimed on the chain     ${dollars(amount.claimed)}`,
          `settled on the chain     ${dollars(amount.settled)}`,
          `the seller's account     ${dollars(amount.sellerBalance)}`,
        ];
  return gas === null ? money : [...money, `gas for each payment     ${gas.perPayment}`];
}

/** Lights listed; of a fleet that bought nothing the first ones show why. */
const NOT_BOUGHT_MAX = 8;

function notBoughtLines({ notBought }: Result): string[] {
  if (notBought.length === 0) return [];
  const shown = notBought
    .slice(0, NOT_BOUGHT_MAX)
    .map(
      ({ light, signed, cause }) => `  ${light}: signed ${signed}, no money moved: ${cause ?? "no answer"}`,
    );
  const more = notBought.length - shown.length;
  if (more > 0) shown.push(`  and ${more} more`);
  return [`Not bought, ${notBought.length} lights:`, ...shown];
}

function cheatLines({ cheats, feeders }: Result): string[] {
  if (cheats.length === 0 && feeders.suspected.length === 0) return [];
  const shown = cheats.map(({ cheat, lights, frames, gainedMilliwattHours }) =>
    frames > 0
      ? `cheats     ${cheat}: ${lights} lights, ${frames} messages, nothing gained`
      : `cheats     ${cheat}: ${lights} lights drew ${(gainedMilliwattHours / 1e6).toFixed(6)} kWh past their meters`,
  );
  const missing = `${(feeders.missingMilliwattHours / 1e6).toFixed(6)} kWh missing`;
  const where = feeders.suspected.length === 0 ? "as rounding explains" : feeders.suspected.join(", ");
  return [...shown, `feeders    ${missing}: ${where}`];
}

function boardLines({ boards }: Result): string[] {
  if (boards === null) return [];
  const { lights, purchases, rungsSigned, rungsInStore } = boards;
  return [
    `boards     ${lights} of the lights bought ${purchases} times; ${rungsSigned} rungs signed there, ${rungsInStore} in store`,
  ];
}

function starvedLine({ starvedLightSeconds, longestStarvedSeconds }: Result): string {
  if (starvedLightSeconds === 0) return "never";
  return `${longestStarvedSeconds} s at worst, ${starvedLightSeconds} light-seconds in all`;
}

function percentile(samples: readonly number[], percent: number): number {
  if (samples.length === 0) return 0;
  const sorted = samples.toSorted((left, right) => left - right);
  const index = Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100));
  return round(sorted[index]!, 1);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
