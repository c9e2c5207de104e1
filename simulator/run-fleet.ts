/**
 * One run from nothing to its reconciliation: chain, seller, gateway, lights; then lights stop, the
 * seller claims and settles, and the chain is asked what really happened.
 */
import { privateKeyToAccount } from "viem/accounts";
import type { Policy } from "#core/policy";
import type { Hex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { GRANT_BYTES, PAY_BYTES, PAY_EXACT_BYTES } from "#protocol/frames";
import { readAccounts, type SellerAccount } from "./fleet/accounts.ts";
import { ChainReader, type ChainTruth } from "./fleet/chain-truth.ts";
import { Fleet } from "./fleet/fleet.ts";
import { payeeOf } from "./fleet/payee.ts";
import { type Reconciliation, reconcile } from "./fleet/reconciliation.ts";
import { openView, type View } from "./fleet/terminal.ts";
import type { FleetFlags } from "./main.ts";
import { type Result, resultLines, resultOf } from "./result.ts";
import { chainAt, type OwnKeys, ownChain, type RunChain } from "./services/chain.ts";
import { type Services, startServices } from "./services/services.ts";
import type { StopReport } from "./utility/utility.ts";

/** The simulated evening begins on 2026-01-15 at 20:00 UTC: dusk is over, dimming is still to come. */
const EPOCH_SECONDS = Date.UTC(2026, 0, 15, 20) / 1000;

/** Money of one deposit into a light's channel: some days of light. */
const DEPOSIT_ATOMIC = 200_000;

/** Sixteen times today's dearest tariff by default: a light's owner refuses more. */
const PRICE_CEILING = 4_000_000;
const QUANTUM_MAX_ATOMIC = 100_000;
const DAILY_BUDGET_ATOMIC = 50_000_000;

const SHOW_EVERY_MS = 200;

/** Longest wait for a seller elsewhere to claim by its own interval, milliseconds. */
const FOREIGN_CLAIMS_MS = 120_000;

export async function runFleet(flags: FleetFlags): Promise<number> {
  const startedAt = Date.now();
  const simulatedMs = flags.minutes * 60_000;
  const view = openView(process.stderr, {
    simulatedMs,
    epochSeconds: EPOCH_SECONDS,
    speed: flags.speed,
    lights: flags.lights,
  });
  const interrupt = catchInterrupt(view);
  const chain = await openChain(flags, view);
  let services: Services | null = null;
  try {
    services = await openServices(flags, chain, view);
    const seller = await receiverOf(flags, chain, services);
    const reader = new ChainReader(chain.rpcUrl, chain.token, seller);
    const mark = await reader.mark();
    const fleet = new Fleet({
      lights: flags.lights,
      seed: flags.seed,
      speed: flags.speed,
      epochSeconds: EPOCH_SECONDS,
      intervalSeconds: flags.interval,
      brokerUrl: services.brokerUrl,
      gatewayPublicKey: services.gatewayPublicKey,
      policy: policyFor(flags, chain, seller),
      onTrouble: (text) => view.say(text),
    });
    await runLights(fleet, simulatedMs, view, interrupt);
    view.say("lights stopped; the seller claims and settles");
    const { accounts, stopReport, truth } = await settle(fleet, services, reader, mark);
    const reconciliation = reconcile(fleet.lights, accounts, truth);
    const result = describe(flags, fleet, reconciliation, stopReport, Date.now() - startedAt);
    print(result, flags.json === true);
    return result.conserved ? 0 : 1;
  } finally {
    view.end();
    await services?.stop();
    await chain.stop();
    interrupt.release();
  }
}

// ---- starting ----

async function openChain(flags: FleetFlags, view: View): Promise<RunChain> {
  if (flags.rpc === undefined) {
    if (flags.seller !== undefined) {
      throw new Error("--seller: expected --rpc too, the chain on which that seller is paid");
    }
    view.say("starting a development chain");
    return ownChain();
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
      throw new Error(`${name}: expected 0x and 64 hex digits, found ${key?.length ?? 0} other characters`);
    }
  }
  return {
    treasuryKey: WATT402_TREASURY_KEY as Hex,
    receiverKey: WATT402_RECEIVER_KEY as Hex,
    facilitatorKey: WATT402_FACILITATOR_KEY as Hex,
  };
}

async function openServices(flags: FleetFlags, chain: RunChain, view: View): Promise<Services> {
  view.say("starting seller and gateway");
  const services = await startServices({
    chain,
    schemes: [flags.scheme],
    sellerUrl: flags.seller ?? null,
    brokerUrl: flags.broker ?? null,
    tariff: flags.tariff,
    epochSeconds: EPOCH_SECONDS,
    speed: flags.speed,
    depositAtomic: DEPOSIT_ATOMIC,
    onTrouble: (text) => view.say(text),
  });
  const processes = [`gateway ${services.gatewayPid()}`];
  if (services.sellerPid() > 0) processes.push(`seller ${services.sellerPid()}`);
  view.say(`broker ${services.brokerUrl}  seller ${services.sellerUrl}  processes: ${processes.join(", ")}`);
  return services;
}

/** Whom the lights will pay: our own seller's key, or what a seller elsewhere asks for. */
async function receiverOf(flags: FleetFlags, chain: RunChain, services: Services): Promise<Hex> {
  if (flags.seller === undefined) {
    return privateKeyToAccount(chain.receiverKey).address.toLowerCase() as Hex;
  }
  return payeeOf(services.sellerUrl);
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

interface Interrupt {
  readonly happened: () => boolean;
  release(): void;
}

/** The first Ctrl-C ends the simulated evening and reconciles; the second leaves at once. */
function catchInterrupt(view: View): Interrupt {
  let times = 0;
  const onSignal = () => {
    times++;
    if (times > 1) process.exit(130);
    view.say("stopping: the lights finish what they pay for (once more to leave at once)");
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    happened: () => times > 0,
    release() {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}

async function runLights(fleet: Fleet, simulatedMs: number, view: View, interrupt: Interrupt): Promise<void> {
  view.say("connecting the lights");
  await fleet.connect(() => {});
  const timer = setInterval(() => view.show(fleet.progress()), SHOW_EVERY_MS);
  try {
    await fleet.run(simulatedMs, interrupt.happened);
    view.show(fleet.progress());
  } finally {
    clearInterval(timer);
    await fleet.stop();
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
  mark: Awaited<ReturnType<ChainReader["mark"]>>,
): Promise<Settled> {
  const accountIds = fleet.lights.map((light) => light.accountId());
  const accounts = await readAccounts(services.sellerUrl, accountIds);
  const stopReport = await services.stopSeller();
  const devices = new Set(fleet.lights.map((light) => light.address));
  const channels = new Set(accountIds.filter((id) => !devices.has(id)));
  let truth = await reader.read(mark, devices, channels);
  if (stopReport !== null) return { accounts, stopReport, truth };
  const charged = [...accounts.values()].reduce((total, account) => total + BigInt(account.charged), 0n);
  const deadline = Date.now() + FOREIGN_CLAIMS_MS;
  while (truth.settled < charged && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    truth = await reader.read(mark, devices, channels);
  }
  return { accounts, stopReport, truth };
}

function describe(
  flags: FleetFlags,
  fleet: Fleet,
  reconciliation: Reconciliation,
  stopReport: StopReport | null,
  wallMs: number,
): Result {
  return resultOf({
    lights: flags.lights,
    simulatedMinutes: fleet.progress().simulatedMs / 60_000,
    wallMs,
    fleet,
    reconciliation,
    stopReport,
    payBytes: flags.scheme === "exact" ? PAY_EXACT_BYTES : PAY_BYTES,
    grantBytes: GRANT_BYTES,
  });
}

function print(result: Result, asJson: boolean): void {
  process.stdout.write(asJson ? `${JSON.stringify(result)}\n` : `${resultLines(result).join("\n")}\n`);
}
