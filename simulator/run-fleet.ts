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
import { chainAnswers, chainAt, type OwnKeys, ownChain, type RunChain } from "./chain/open-chain.ts";
import { type FaultProxy, openFaultProxy } from "./fleet/fault-proxy.ts";
import { DRAIN_MS, Fleet } from "./fleet/fleet.ts";
import type { Boards } from "./fleet/lights/board-lights.ts";
import { sitesOf } from "./fleet/lights/street.ts";
import { type ChainMark, ChainReader, type ChainTruth } from "./fleet/reconciliation/chain-truth.ts";
import { feedersOf } from "./fleet/reconciliation/feeders.ts";
import { payeeOf } from "./fleet/reconciliation/payee.ts";
import { reconcile } from "./fleet/reconciliation/reconciliation.ts";
import { readAccounts, type SellerAccount } from "./fleet/reconciliation/seller-accounts.ts";
import type { Progress } from "./fleet/recorded-evening.ts";
import { FleetScenarioRunner } from "./fleet/scenario-runner.ts";
import { openView, type View } from "./fleet/terminal.ts";
import type { FleetFlags } from "./fleet-flags.ts";
import { type Bought, catchInterrupt, type Interrupt } from "./interrupt.ts";
import { buildReport, commandOf } from "./report/build-report.ts";
import { Sampler } from "./report/sampler.ts";
import { requireWritable, writeReport } from "./report/write-report.ts";
import { type Result, resultLines, resultOf } from "./result.ts";
import { planRun, type RunPlan } from "./run-plan.ts";
import { EVERYONE, playStages, type Stage } from "./scenario/actions.ts";
import { DAILY_BUDGET_ATOMIC, PRICE_CEILING, QUANTUM_MAX_ATOMIC } from "./scenario/owner-limits.ts";
import type { StopReport } from "./seller/seller.ts";
import { requireBroker } from "./services/broker-check.ts";
import { type Services, startServices } from "./services/services.ts";

/** Money of one deposit into a light's channel: some days of light. */
const DEPOSIT_ATOMIC = 200_000;

const SHOW_EVERY_MS = 200;

/** Between two words to the seller about what time it is, real milliseconds. */
const SEND_TIME_MS = 100;

/** Longest wait for a seller elsewhere to claim by its own interval, milliseconds. */
const FOREIGN_CLAIMS_MS = 120_000;
const FOREIGN_LOOK_MS = 1_000;

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
  let chain: RunChain | null = null;
  let services: Services | null = null;
  let relays: ReadonlyMap<string, FaultProxy> = new Map();
  let boards: Boards | null = null;
  try {
    boards = await openBoards(flags, plan, view);
    chain = await openChain(flags, view);
    const seller = await receiverOf(flags, chain);
    services = await openServices(flags, plan, chain, view);
    relays = await openRelays(plan, services.brokerUrl);
    const reader = new ChainReader(chain.rpcUrl, chain.token, seller);
    const mark = await reader.mark();
    const fleet = openFleet(flags, plan, { chain, services, relays, boards, seller, view });
    const recorder = new Sampler(fleet, (seconds) => plan.prices?.priceAt(seconds) ?? null);
    const hand = new FleetScenarioRunner({ fleet, services, relays, say: (text) => view.say(text) });
    const evening = { fleet, services, recorder, hand, stages: plan.scenario.stages };
    interrupt.lightsBuy(boughtBy(fleet, services, chain));
    const atEnd = await runLights(evening, simulatedMs, view, interrupt);
    const settling = settle(fleet, services, reader, mark, view);
    const { accounts, stopReport, truth } = await view.during(
      "lights stopped; the seller claims and settles",
      settling,
    );
    const feeders = feedersOf(plan.city, fleet.lights);
    const reconciliation = reconcile(fleet.lights, accounts, truth, flags.seller !== undefined);
    const result = resultOf({
      lights: plan.city.lights.length,
      wallMs: Date.now() - startedAt,
      evening: fleet,
      atEnd,
      reconciliation,
      stopReport,
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
    await chain?.stop();
    interrupt.release();
  }
}

// ---- starting ----

async function openChain(flags: FleetFlags, view: View): Promise<RunChain> {
  if (flags.rpc === undefined) {
    if (flags.seller !== undefined) {
      throw new Watt402Error(
        "config-invalid",
        "--seller: expected --rpc too, the chain on which that seller is paid",
      );
    }
    return view.during("starting a development chain", ownChain());
  }
  return chainAt(flags.rpc, flags.token ?? null, keysInEnvironment());
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
  chain: RunChain,
  view: View,
): Promise<Services> {
  const { section, link } = plan.brokerAccount;
  if (flags.broker !== undefined) await requireBroker(flags.broker, link.tls);
  const starting = startServices({
    chain,
    schemes: [flags.scheme],
    ...(flags.schemeServer === undefined ? {} : { schemeServer: flags.schemeServer }),
    sellerUrl: flags.seller ?? null,
    brokerUrl: flags.broker ?? null,
    brokerAccount: section,
    server: "aedes",
    tariff: plan.tariff,
    epochSeconds: plan.epochSeconds,
    speed: plan.speed,
    depositAtomic: DEPOSIT_ATOMIC,
    devices: plan.city.lights.length,
    onTrouble: (text) => view.say(text),
  });
  const text = flags.seller === undefined ? "starting seller and gateway" : "starting the gateway";
  const services = await view.during(text, starting);
  // Its own clock has run since it started; an evening's prices are counted from the evening's beginning.
  services.sendSellerTime(plan.epochSeconds);
  const processes = [`gateway ${services.gatewayPid()}`];
  if (services.sellerPid() > 0) processes.push(`seller ${services.sellerPid()}`);
  view.say(`broker ${services.brokerUrl}, seller ${services.sellerUrl}`);
  view.say(`processes: ${processes.join(", ")}`);
  return services;
}

/** Whom the lights will pay: our own seller's key, or what a seller elsewhere asks for. */
async function receiverOf(flags: FleetFlags, chain: RunChain): Promise<Hex> {
  if (flags.seller !== undefined) return payeeOf(flags.seller);
  return privateKeyToAccount(chain.receiverKey).address.toLowerCase() as Hex;
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
  readonly chain: RunChain;
  readonly services: Services;
  readonly relays: ReadonlyMap<string, FaultProxy>;
  readonly boards: Boards | null;
  readonly seller: Hex;
  readonly view: View;
}

function openFleet(
  flags: FleetFlags,
  plan: RunPlan,
  { chain, services, relays, boards, seller, view }: FleetSurroundings,
): Fleet {
  const policy = policyFor(flags, chain, seller);
  const budgets = new Map(
    plan.scenario.groups.map(({ name, dailyBudgetAtomic }) => [name, dailyBudgetAtomic]),
  );
  return new Fleet({
    sites: sitesOf(plan.city),
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
    policyFor: (group) => ({
      ...policy,
      dailyBudgetAtomic: budgets.get(group) ?? policy.dailyBudgetAtomic,
    }),
    onTrouble: (text) => view.say(text),
  });
}

function policyFor(flags: FleetFlags, chain: RunChain, seller: Hex): Policy {
  return {
    schemes: [flags.scheme],
    network: `eip155:${chain.chainId}`,
    asset: chain.token,
    contracts: [flags.scheme === "exact" ? chain.token : BATCH_SETTLEMENT_ADDRESS],
    payees: [seller],
    unit: "mWh",
    priceCeiling: PRICE_CEILING,
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
function boughtBy(fleet: Fleet, services: Services, chain: RunChain): Bought {
  return {
    async silent(limitMs) {
      const [service, isChainWell] = await Promise.all([
        services.silent(limitMs),
        chainAnswers(chain.rpcUrl, limitMs),
      ]);
      return isChainWell ? service : "chain";
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

// ---- settling ----

interface Settled {
  readonly accounts: ReadonlyMap<string, SellerAccount>;
  readonly stopReport: StopReport | null;
  readonly truth: ChainTruth;
}

async function settle(
  fleet: Fleet,
  services: Services,
  reader: ChainReader,
  mark: ChainMark,
  view: View,
): Promise<Settled> {
  // A purchase that its light gave up may still be under way; accounts are final once no gateway pays.
  await services.stopGateway();
  const accountIds = fleet.lights.map((light) => light.accountId());
  const accounts = await readAccounts(services.sellerUrl, accountIds);
  const stopReport = await services.stopSeller();
  if (stopReport?.interrupted) view.say(`seller: ${stopReport.interrupted}`);
  for (const { channelId, reason } of stopReport?.excluded ?? []) view.say(`channel ${channelId}: ${reason}`);
  const read = () => reader.read(mark, accountIds);
  let truth = await read();
  if (services.sellerPid() > 0) return { accounts, stopReport, truth };
  const charged = [...accounts.values()].reduce((total, account) => total + BigInt(account.charged), 0n);
  const deadline = Date.now() + FOREIGN_CLAIMS_MS;
  while ((truth.claimed < charged || truth.settled < charged) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, FOREIGN_LOOK_MS));
    truth = await read();
  }
  return { accounts, stopReport, truth };
}

function print(result: Result, asJson: boolean): void {
  process.stdout.write(asJson ? `${JSON.stringify(result)}\n` : `${resultLines(result).join("\n")}\n`);
}
