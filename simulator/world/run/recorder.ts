/**
 * The record of one world: its lights with their monitors, samples through the evening, the stages that
 * were played, and at the end the books of seller and chain.
 *
 * Promise: watching changes nothing of a world but the number of its events; what it records is physics,
 * tables and chain, never what a program believes.
 */
import { GRANT_BYTES, PAY_BYTES } from "#protocol/frames";
import type { ChainTruth } from "../../fleet/reconciliation/chain-truth.ts";
import { type Feeder, feedersOf } from "../../fleet/reconciliation/feeders.ts";
import { reconcile } from "../../fleet/reconciliation/reconciliation.ts";
import type { SellerAccount } from "../../fleet/reconciliation/seller-accounts.ts";
import { type Evening, type Progress, progressOf } from "../../fleet/recorded-evening.ts";
import { Sampler } from "../../report/sampler.ts";
import { type Result, resultOf } from "../../result.ts";
import type { EveningPlan } from "../../run-plan.ts";
import { playStages } from "../../scenario/actions.ts";
import type { AccountRecord } from "../../seller/accounts/account-book.ts";
import type { FaultTargets } from "../actors/fault-schedule.ts";
import { keyOf } from "../engine/keys.ts";
import type { World } from "../engine/world.ts";
import { NETWORK, TOKEN } from "../engine/world-terms.ts";
import type { WorldViolation } from "../invariants/world-violation.ts";
import type { Site } from "../surroundings/simulated-site.ts";
import { ObservedLight } from "./observed-light.ts";
import { WorldScenarioRunner } from "./world-scenario-runner.ts";

/** Round trips kept for the percentiles. */
const LATENCIES_MAX = 100_000;

interface Books {
  readonly accounts: ReadonlyMap<string, SellerAccount>;
  readonly truth: ChainTruth;
}

export class ScenarioRecorder implements Evening {
  readonly lights: readonly ObservedLight[];
  readonly latenciesMs: number[] = [];
  readonly recorder: Sampler;
  readonly plan: EveningPlan;
  private readonly world: World;
  private readonly beginMs: number;
  private hand: WorldScenarioRunner | null = null;
  private atEnd: Progress | null = null;
  private books: Books | null = null;

  /** @param beginMs when the evening begins: lights may need a while before they have bought once */
  constructor(world: World, plan: EveningPlan, sites: readonly Site[], beginMs: number) {
    this.world = world;
    this.plan = plan;
    this.beginMs = beginMs;
    this.lights = sites.map(
      (site, index) =>
        new ObservedLight(
          plan.city.lights[index]!.name,
          index,
          site,
          () => world.nowMs,
          beginMs + plan.minutes * 60_000,
          (roundTripMs) => {
            if (this.latenciesMs.length < LATENCIES_MAX) this.latenciesMs.push(roundTripMs);
          },
        ),
    );
    this.recorder = new Sampler(this, (seconds) => plan.prices.priceAt(seconds));
  }

  at(afterMs: number, wake: () => void): () => void {
    return this.world.at(this.beginMs + afterMs, wake);
  }

  progress(): Progress {
    return progressOf(this.lights, this.world.nowMs - this.beginMs);
  }

  wallSeconds(): number {
    return this.plan.epochSeconds + (this.world.nowMs - this.beginMs) / 1000;
  }

  /** Everything is built, no time has passed yet. */
  begin(parts: FaultTargets): void {
    for (const [index, light] of parts.lights.entries()) this.lights[index]!.join(light);
    const { scenario, groups, minutes } = this.plan;
    const hand = new WorldScenarioRunner(parts, this.lights, groups);
    this.hand = hand;
    const simulatedMs = minutes * 60_000;
    this.at(0, () => {
      for (const { monitor } of this.lights) monitor.beginEvening();
      this.recorder.record(simulatedMs);
    });
    playStages(scenario.stages, this.world, this.beginMs, hand);
    this.at(simulatedMs, () => {
      this.recorder.look();
      this.atEnd = this.progress();
      hand.finish();
    });
  }

  /** Nothing moves any more. */
  end({ sellerTables, chain }: FaultTargets): void {
    const accounts = new Map<string, SellerAccount>();
    for (const { account } of sellerTables.rows<AccountRecord>("account")) {
      accounts.set(account.account, { charged: account.charged, granted: account.granted });
    }
    const channels = [...chain.channels];
    const truth: ChainTruth = {
      deposited: BigInt(chain.deposited),
      claimed: BigInt(chain.claimed),
      settled: BigInt(chain.settled),
      refunded: BigInt(chain.refunded),
      sellerBalance: BigInt(chain.balances.get(keyOf("seller").address) ?? 0),
      paidBy: new Map(channels.map(([id, { claimed }]) => [id, BigInt(claimed)])),
      depositedBy: new Map(channels.map(([id, { balance }]) => [id, BigInt(balance)])),
    };
    this.books = { accounts, truth };
  }

  feeders(): Feeder[] {
    return feedersOf(this.plan.city, this.lights);
  }

  /**
   * @param calm nothing went wrong but what the scenario wants: then every counter of every light is held
   *   against the others, and else the oracle's word alone counts
   */
  result(violation: WorldViolation | null, calm: boolean, wallMs: number): Result {
    const { accounts, truth } = this.books!;
    const reconciled = reconcile(this.lights, accounts, truth, false);
    // A violation stops its world: what was under way then is no difference of its own.
    const broken = violation && {
      ...{ invariant: violation.invariant, light: "world", expected: "no breach", actual: violation.told },
    };
    const violations = broken === null ? (calm ? reconciled.violations : []) : [broken];
    return resultOf({
      lights: this.lights.length,
      wallMs,
      evening: this,
      atEnd: this.atEnd ?? this.progress(),
      books: [
        {
          ...{ network: NETWORK, asset: TOKEN, lights: this.lights, stopReport: null },
          reconciliation: { ...reconciled, violations },
        },
      ],
      payBytes: PAY_BYTES,
      grantBytes: GRANT_BYTES,
      scenario: this.plan.scenario.name,
      stages: this.hand?.played ?? [],
      feeders: this.feeders(),
      boards: null,
    });
  }
}
