/**
 * The result of a run: one JSON document, or the same as lines for people.
 */
import type { PaymentToken } from "#protocol/payment-token";
import type { BoardsResult } from "./fleet/lights/board-lights.ts";
import type { Feeder } from "./fleet/reconciliation/feeders.ts";
import type { InvariantMonitor } from "./fleet/reconciliation/invariant-monitor.ts";
import type { Amounts, NotBought, Reconciliation } from "./fleet/reconciliation/reconciliation.ts";
import type { Violation } from "./fleet/reconciliation/violation.ts";
import type { Evening, EveningLight, Progress } from "./fleet/recorded-evening.ts";
import type { PlayedStage } from "./fleet/scenario-runner.ts";
import { CHEATS, type Cheat } from "./scenario/actions.ts";
import type { StopReport } from "./seller/seller.ts";

/** Decimal strings, atomic token units. */
type AmountsText = Readonly<Record<keyof Amounts, string>>;

/** `perPayment` is claims, settlements and exact transfers over payments made. */
interface Gas {
  readonly deposit: number;
  readonly claim: number;
  readonly settle: number;
  readonly perPayment: number;
}

/** What is of one of several chains. */
interface ChainPart extends PaymentToken {
  readonly lights: number;
  readonly payments: number;
  readonly amountAtomic: AmountsText;
  readonly gas: Gas | null;
  readonly conserved: boolean;
}

export interface Result {
  readonly lights: number;
  readonly simulatedMinutes: number;
  readonly wallMs: number;
  readonly payments: { readonly made: number; readonly resent: number; readonly refused: number };
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

/** How a run stood on one chain at its end. */
interface Books extends PaymentToken {
  readonly lights: readonly Pick<EveningLight, "monitor">[];
  readonly reconciliation: Reconciliation;
  readonly stopReport: StopReport | null;
}

interface ResultParts {
  readonly lights: number;
  readonly wallMs: number;
  readonly evening: Pick<Evening, "lights" | "latenciesMs">;
  /** As the evening ended. */
  readonly atEnd: Progress;
  /** Of each chain; never empty. */
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
  const several = books.length > 1 ? books.map(partOf) : null;
  const [{ reconciliation, stopReport }] = books as [Books];
  const perPayment = (bytes: number, frames: number) => (made === 0 ? 0 : round((bytes * frames) / made, 2));
  return {
    lights: parts.lights,
    simulatedMinutes: round(simulatedMs / 60_000, 3),
    wallMs: parts.wallMs,
    payments: { made, resent, refused },
    energyMilliwattHours: {
      consumed: books.reduce((sum, one) => sum + one.reconciliation.consumed, 0),
      granted: books.reduce((sum, one) => sum + one.reconciliation.granted, 0),
    },
    amountAtomic: several === null ? textOf(reconciliation.amounts) : null,
    chains: several,
    latencyMs: { p50: percentile(evening.latenciesMs, 50), p99: percentile(evening.latenciesMs, 99) },
    gas: several === null && stopReport !== null ? gasOf(stopReport, made) : null,
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

function partOf({ network, asset, lights, reconciliation, stopReport }: Books): ChainPart {
  const payments = lights.reduce((sum, { monitor }) => sum + monitor.made, 0);
  return {
    ...{ network, asset, lights: lights.length, payments },
    amountAtomic: textOf(reconciliation.amounts),
    gas: stopReport && gasOf(stopReport, payments),
    conserved: reconciliation.violations.length === 0,
  };
}

function textOf(amounts: Amounts): AmountsText {
  return {
    deposited: String(amounts.deposited),
    signed: String(amounts.signed),
    charged: String(amounts.charged),
    claimed: String(amounts.claimed),
    settled: String(amounts.settled),
    refunded: String(amounts.refunded),
    sellerBalance: String(amounts.sellerBalance),
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

function gasOf(report: StopReport, made: number): Gas {
  const settling = report.claims.gas + report.settles.gas + report.exact.gas;
  return {
    deposit: report.deposits.gas,
    claim: report.claims.gas,
    settle: report.settles.gas + report.exact.gas,
    perPayment: made === 0 ? 0 : round(settling / made, 2),
  };
}

/** The result as a person reads it. */
export function resultLines(result: Result): string[] {
  const { payments, energyMilliwattHours: energy, latencyMs, bytesPerPayment, atEnd } = result;
  const lines = [
    `${result.lights} lights, ${result.simulatedMinutes} simulated minutes in ${(result.wallMs / 1000).toFixed(1)} s`,
    `payments   ${payments.made} made, ${payments.resent} sent again, ${payments.refused} refused for a while`,
    `answers    ${latencyMs.p50} ms in the middle, ${latencyMs.p99} ms for the slowest hundredth`,
    `bytes      ${bytesPerPayment.up} up and ${bytesPerPayment.down} down for a payment`,
    `lights     ${atEnd.lit} on, ${atEnd.dark} off, ${atEnd.starved} starved at the end`,
    `starved    ${starvedLine(result)}`,
    `energy     ${(energy.consumed / 1e6).toFixed(6)} kWh consumed of ${(energy.granted / 1e6).toFixed(6)} kWh granted`,
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
