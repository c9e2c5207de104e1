/**
 * One run from nothing to its reconciliation: chain, seller, gateway, lights; then lights stop, the
 * seller claims and settles, and the chain is asked what really happened.
 */

import { privateKeyToAccount } from "viem/accounts";
import type { Policy } from "#core/policy";
import type { Hex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { Watt402Error } from "#payment/watt402-error";
import { GRANT_BYTES, PAY_BYTES, PAY_EXACT_BYTES } from "#protocol/frames";
import { DEFAULT_CHAIN_ID } from "./chain/anvil.ts";
import { chainAnswers, chainAt, type OwnKeys, ownChain, type RunChain } from "./chain/open-chain.ts";
import { type FaultProxy, openFaultProxy } from "./fleet/fault-proxy.ts";
import { DRAIN_MS, Fleet } from "./fleet/fleet.ts";
import type { Boards } from "./fleet/lights/board-lights.ts";
import { shareOf } from "./fleet/lights/seller-share.ts";
import { sitesOf } from "./fleet/lights/street.ts";
import { feedersOf } from "./fleet/reconciliation/feeders.ts";
import { payeeOf } from "./fleet/reconciliation/payee.ts";
import { type ChainBooks, openBooks, settleChains } from "./fleet/reconciliation/settle-chains.ts";
import type { Progress } from "./fleet/recorded-evening.ts";
import { FleetScenarioRunner } from "./fleet/scenario-runner.ts";
import { openView, type View } from "./fleet/terminal.ts";
import type { FleetFlags } from "./fleet-flags.ts";
import { type Bought, catchInterrupt, type Interrupt } from "./interrupt.ts";
import type { Profile } from "./profiles/profile.ts";
import { buildReport, commandOf } from "./report/build-report.ts";
import { Sampler } from "./report/sampler.ts";
import { requireWritable, writeReport } from "./report/write-report.ts";
import { type Result, resultLines, resultOf } from "./result.ts";
import { planRun, type RunPlan } from "./run-plan.ts";
import { EVERYONE, playStages, type Stage } from "./scenario/actions.ts";
import { DAILY_BUDGET_ATOMIC, QUANTUM_MAX_ATOMIC } from "./scenario/owner-limits.ts";
import { requireBroker } from "./services/broker-check.ts";
import { dealer, dealt, type SellersFor, sellersOf } from "./services/run-sellers.ts";
import { type RunSeller, type Services, startServices } from "./services/services.ts";

/** Money of one deposit into a light's channel: some days of light. */
const DEPOSIT_ATOMIC = 200_000;

const SHOW_EVERY_MS = 200;

/** Between two words to the seller about what time it is, real milliseconds. */
const SEND_TIME_MS = 100;

export async function runFleet(flags: FleetFlags): Promise<number> {
  if (flags.report !== undefined) requireWritable(flags.report);
  const plan = planRun(flags);
  try {
    return await runPlan(flags, plan);
  } finally {
    plan.release();
  }
}

async function runPlan(flags: FleetFlags, plan: RunPlan): Promise<number> {
  const startedAt = Date.now();
  const simulatedMs = plan.minutes * 60_000;
  const view = openView(process.stderr, {
    simulatedMs,
    epochSeconds: plan.epochSeconds,
    speed: plan.speed,
    lights: plan.city.lights.length,
  });
  const interrupt = catchInterrupt((text) => view.say(text));
  let chains: readonly RunChain[] = [];
  let services: Services | null = null;
  let relays: ReadonlyMap<string, FaultProxy> = new Map();
  let boards: Boards | null = null;
  try {
    boards = await openBoards(flags, plan, view);
    chains = await openChains(flags, view);
    const sellers = sellersOf(plan.profiles, plan.tariff, chains);
    // A seller elsewhere is asked before anything is started for it.
    const payees = await Promise.all(sellers.map((seller) => receiverOf(flags, seller)));
    services = await openServices(flags, plan, sellers, view);
    relays = await openRelays(plan, services.brokerUrl);
    const books = await Promise.all(sellers.map(({ chain }, index) => openBooks(chain, payees[index]!)));
    const sellersFor = dealer(chains, sellers);
    const fleet = openFleet(flags, plan, { books, sellersFor, chains, services, relays, boards, view });
    const recorder = new Sampler(fleet, (seconds) => plan.prices?.priceAt(seconds) ?? null);
    const hand = new FleetScenarioRunner({ fleet, services, relays, say: (text) => view.say(text) });
    const evening = { fleet, services, recorder, hand, stages: plan.scenario.stages };
    interrupt.lightsBuy(boughtBy(fleet, services, chains));
    const atEnd = await runLights(evening, simulatedMs, view, interrupt);
    const settling = settleChains(
      services,
      books,
      () => dealt(fleet.lights, sellers.length, sellersFor, shareOf),
      (text) => view.say(text),
    );
    const settled = await view.during("lights stopped; the seller claims and settles", settling);
    const feeders = feedersOf(plan.city, fleet.lights);
    const result = resultOf({
      lights: plan.city.lights.length,
      wallMs: Date.now() - startedAt,
      evening: fleet,
      atEnd,
      books: settled.map(({ chain, ...others }) => ({
        network: `eip155:${chain.chainId}`,
        asset: chain.token,
        ...others,
      })),
      payBytes: flags.scheme === "exact" ? PAY_EXACT_BYTES : PAY_BYTES,
      grantBytes: GRANT_BYTES,
      scenario: plan.scenario.name,
      stages: hand.played,
      feeders,
      boards: fleet.boards(),
    });
    if (flags.report !== undefined) {
      writeReport(
        flags.report,
        buildReport({
          plan,
          result,
          evening: fleet,
          samples: recorder.samples,
          feeders,
          answersIn: "real",
          faults: null,
          command: commandOf(plan),
        }),
      );
      view.say(`report: ${flags.report}`);
    }
    view.end();
    print(result, flags.json === true);
    return result.conserved && result.notBought.length === 0 ? 0 : 1;
  } finally {
    view.end();
    for (const relay of relays.values()) await relay.close();
    boards?.close();
    await services?.stop();
    await Promise.all(chains.map((chain) => chain.stop()));
    interrupt.release();
  }
}

// ---- starting ----

async function openChains(flags: FleetFlags, view: View): Promise<readonly RunChain[]> {
  if (flags.rpc === undefined) {
    if (flags.seller !== undefined) {
      throw new Watt402Error(
        "config-invalid",
        "--seller: expected --rpc too, the chain on which that seller is paid",
      );
    }
    const { chains = 1 } = flags;
    if (chains === 1) return [await view.during("starting a development chain", ownChain())];
    return view.during(`starting ${chains} development chains`, severalChains(chains));
  }
  return [await chainAt(flags.rpc, flags.token ?? null, keysInEnvironment())];
}

/** With chain ids one after the other; none is left running when one does not start. */
async function severalChains(count: number): Promise<readonly RunChain[]> {
  const starting = Array.from({ length: count }, (_, index) => ownChain(DEFAULT_CHAIN_ID + index));
  const started = await Promise.allSettled(starting);
  const running = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = started.find((one) => one.status === "rejected");
  if (failed === undefined) return running;
  await Promise.all(running.map((chain) => chain.stop()));
  throw failed.reason;
}

/** Keys for a chain that is no development node. Never printed. */
function keysInEnvironment(): OwnKeys | null {
  const { WATT402_TREASURY_KEY, WATT402_RECEIVER_KEY, WATT402_FACILITATOR_KEY } = process.env;
  const found = { WATT402_TREASURY_KEY, WATT402_RECEIVER_KEY, WATT402_FACILITATOR_KEY };
  if (Object.values(found).every((key) => key === undefined)) return null;
  for (const [name, key] of Object.entries(found)) {
    if (!/^0x[0-9a-fA-F]{64}$/.test(key ?? "")) {
      throw new Watt402Error(
        "value-invalid",
        `${name}: expected 0x and 64 hex digits, found ${key?.length ?? 0} other characters`,
      );
    }
  }
  return {
    treasuryKey: WATT402_TREASURY_KEY as Hex,
    receiverKey: WATT402_RECEIVER_KEY as Hex,
    facilitatorKey: WATT402_FACILITATOR_KEY as Hex,
  };
}

async function openServices(
  flags: FleetFlags,
  plan: RunPlan,
  sellers: readonly RunSeller[],
  view: View,
): Promise<Services> {
  const { section, link } = plan.brokerAccount;
  if (flags.broker !== undefined) await requireBroker(flags.broker, link.tls);
  const starting = startServices({
    sellers,
    schemes: [flags.scheme],
    ...(flags.schemeServer === undefined ? {} : { schemeServer: flags.schemeServer }),
    ...(flags.chargePercent === undefined ? {} : { chargePercent: flags.chargePercent }),
    sellerUrl: flags.seller ?? null,
    brokerUrl: flags.broker ?? null,
    brokerAccount: section,
    server: "aedes",
    epochSeconds: plan.epochSeconds,
    speed: plan.speed,
    depositAtomic: Math.max(...plan.profiles.map(({ depositAtomic = DEPOSIT_ATOMIC }) => depositAtomic)),
    devices: plan.city.lights.length,
    onTrouble: (text) => view.say(text),
  });
  const own = sellers.length === 1 ? "starting seller and gateway" : "starting sellers and gateway";
  const text = flags.seller === undefined ? own : "starting the gateway";
  const services = await view.during(text, starting);
  // Its own clock has run since it started; an evening's prices are counted from the evening's beginning.
  services.sendSellerTime(plan.epochSeconds);
  const processes = [
    `gateway ${services.gatewayPid()}`,
    ...services.sellerPids().map((pid) => `seller ${pid}`),
  ];
  view.say(`broker ${services.brokerUrl}, ${services.sellerUrls.map((url) => `seller ${url}`).join(", ")}`);
  view.say(`processes: ${processes.join(", ")}`);
  return services;
}

/** Whom the lights will pay: our own seller's key, or what a seller elsewhere asks for. */
async function receiverOf(flags: FleetFlags, { keys }: RunSeller): Promise<Hex> {
  if (flags.seller !== undefined) return payeeOf(flags.seller);
  return privateKeyToAccount(keys.receiverKey).address.toLowerCase() as Hex;
}

/** The compiler and the linter that make a bundle are only loaded for one. */
async function openBoards({ espruino }: FleetFlags, plan: RunPlan, view: View): Promise<Boards | null> {
  if (espruino === undefined) return null;
  const room = await import("./fleet/lights/board-lights.ts");
  const opening = room.openBoards({
    count: espruino,
    epochSeconds: plan.epochSeconds,
    eveningMs: plan.minutes * 60_000,
    onTrouble: (text) => view.say(text),
  });
  return view.during("building the board's bundle", opening);
}

/** A relay for each group whose connections a stage breaks, and one for the others when all are broken. */
async function openRelays(
  { scenario }: RunPlan,
  brokerUrl: string,
): Promise<ReadonlyMap<string, FaultProxy>> {
  const dropped = scenario.stages.flatMap(({ action }) =>
    action.kind === "drop-connections" ? [action.group] : [],
  );
  const all = dropped.includes(EVERYONE) ? scenario.groups.map(({ name }) => name) : [];
  const relays = new Map<string, FaultProxy>();
  for (const group of new Set([...dropped, ...all])) relays.set(group, await openFaultProxy(brokerUrl));
  return relays;
}

interface FleetSurroundings {
  readonly books: readonly ChainBooks[];
  readonly sellersFor: SellersFor;
  readonly chains: readonly RunChain[];
  readonly services: Services;
  readonly relays: ReadonlyMap<string, FaultProxy>;
  readonly boards: Boards | null;
  readonly view: View;
}

function openFleet(
  flags: FleetFlags,
  plan: RunPlan,
  { books, sellersFor, chains, services, relays, boards, view }: FleetSurroundings,
): Fleet {
  const budgets = new Map(
    plan.scenario.groups.map(({ name, dailyBudgetAtomic }) => [name, dailyBudgetAtomic]),
  );
  return new Fleet({
    sites: sitesOf(plan.city, plan.profileOf),
    groups: plan.groups,
    seed: plan.seed,
    speed: plan.speed,
    epochSeconds: plan.epochSeconds,
    intervalSeconds: plan.interval,
    brokerUrlFor: (group) => relays.get(group)?.url ?? services.brokerUrl,
    gatewayPublicKey: services.gatewayPublicKey,
    account: plan.brokerAccount.link,
    isLean: flags.lean === true,
    boards,
    tellsTokens: chains.length > 1,
    tellsPayee: books.length > chains.length && plan.profiles.some((one) => one.sellers !== undefined),
    policyFor: (site, group, index) => {
      const paid = sellersFor(site, index).map((number) => books[number]!);
      const payees = paid.map(({ payee }) => payee);
      const policy = policyOn(flags, paid[0]!.chain, payees, site.profile);
      return { ...policy, dailyBudgetAtomic: budgets.get(group) ?? policy.dailyBudgetAtomic };
    },
    onTrouble: (text) => view.say(text),
  });
}

function policyOn(flags: FleetFlags, chain: RunChain, payees: readonly string[], profile: Profile): Policy {
  return {
    schemes: [flags.scheme],
    network: `eip155:${chain.chainId}`,
    asset: chain.token,
    contracts: [flags.scheme === "exact" ? chain.token : BATCH_SETTLEMENT_ADDRESS],
    payees,
    unit: profile.goods.unit,
    priceCeiling: profile.priceCeiling,
    quantumMaxAtomic: QUANTUM_MAX_ATOMIC,
    dailyBudgetAtomic: DAILY_BUDGET_ATOMIC,
    unpaid: { kind: "off" },
  };
}

// ---- running ----

interface Evening {
  readonly fleet: Fleet;
  readonly services: Services;
  readonly recorder: Sampler;
  readonly hand: FleetScenarioRunner;
  readonly stages: readonly Stage[];
}

/** What a run that is interrupted has to look after. */
function boughtBy(fleet: Fleet, services: Services, chains: readonly RunChain[]): Bought {
  return {
    async silent(limitMs) {
      const [service, ...answers] = await Promise.all([
        services.silent(limitMs),
        ...chains.map(({ rpcUrl }) => chainAnswers(rpcUrl, limitMs)),
      ]);
      return answers.every(Boolean) ? service : "chain";
    },
    text() {
      const { made, spentAtomic } = fleet.progress();
      return `${fleet.lights.length} lights had bought ${made} times for ${spentAtomic} atomic units`;
    },
    stop: () => services.stopTogether(),
  };
}

/** Runs the evening and stops every light, whatever happens. Resolves with how it stood when it ended. */
async function runLights(
  { fleet, services, recorder, hand, stages }: Evening,
  simulatedMs: number,
  view: View,
  interrupt: Interrupt,
): Promise<Progress> {
  let drainMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const sendTime = setInterval(() => services.sendSellerTime(fleet.wallSeconds()), SEND_TIME_MS);
  try {
    await fleet.connect((bought) => view.connecting(bought), interrupt.happened);
    if (!interrupt.happened()) view.say(`all ${fleet.lights.length} lights have bought; the evening begins`);
    timer = setInterval(() => view.show(fleet.progress()), SHOW_EVERY_MS);
    recorder.record(simulatedMs);
    playStages(stages, fleet, 0, hand);
    await fleet.run(simulatedMs, interrupt.happened);
    recorder.look();
    const atEnd = fleet.progress();
    view.show(atEnd);
    await hand.finish();
    drainMs = DRAIN_MS;
    return atEnd;
  } finally {
    clearInterval(timer);
    clearInterval(sendTime);
    await fleet.stop(drainMs);
  }
}

function print(result: Result, asJson: boolean): void {
  process.stdout.write(asJson ? `${JSON.stringify(result)}\n` : `${resultLines(result).join("\n")}\n`);
}
