// What the gateway's tests stand on: a real node with x402's contracts, key files, gateways configured as an
// operator would, and real device hosts with a lamp so strong that it buys several times a second.

import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hex } from "viem";
import { generatePrivateKey } from "viem/accounts";
import type { Checkpoint, Effect, Grant } from "#core/events";
import type { Policy } from "#core/policy";
import type { Clock } from "#core/ports";
import type { Settings } from "#core/state";
import { type Config, checkConfig } from "#gateway/config/config";
import { type Gateway, startGateway } from "#gateway/gateway";
import type { Logger } from "#gateway/purchase/ports";
import type { PricedPlan } from "#market/priced-plan";
import { systemClock } from "#node/clock";
import { type Host, type HostLink, type HostParts, startHost, type Whereabouts } from "#node/host";
import { type MqttLinkOptions, openMqttLink } from "#node/mqtt-link";
import { fromHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { type Key, openKey } from "#payment/key";
import type { WalletRules } from "#payment/offer/offer";
import { PERMIT2_ADDRESS } from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import { type Contracts, deployContracts, mint } from "#simulator/chain/deploy";

export const TREASURY_DOLLARS_ATOMIC = 1_000_000_000n;

/** Any part of a configuration file; missing members are the ground's. */
export type ConfigPatch = {
  readonly [Section in Exclude<keyof Config, "sellers" | "chains" | "tokens">]?:
    | Partial<Config[Section]>
    | Record<string, unknown>;
} & {
  readonly chain?: { readonly rpc: string };
  readonly seller?: Record<string, unknown>;
  /** In the place of the one seller; network and token are the ground's. */
  readonly sellers?: readonly Record<string, unknown>[];
};

export interface Ground {
  readonly anvil: Anvil;
  readonly contracts: Contracts;
  readonly network: `eip155:${number}`;
  readonly gatewayKey: Key;
  readonly treasuryKey: Key;
  readonly treasurySecret: Hex;
  directory(): string;
  /** A key file as operators keep them. */
  keyFile(secret: Hex): string;
  /** A configuration with its data in `directory`, or in a new one. */
  config(sellerUrl: string, patch?: ConfigPatch, directory?: string): Record<string, unknown>;
  gateway(config: Record<string, unknown>, note?: Logger): Promise<Gateway>;
  light(brokerUrl: string, options?: LightOptions): Light;
  stop(): Promise<void>;
}

export async function prepareGround(): Promise<Ground> {
  const anvil = await startAnvil();
  const contracts = await deployContracts(anvil);
  const directories: string[] = [];
  const gateways: Gateway[] = [];
  const lights: Light[] = [];
  const gatewaySecret = generatePrivateKey();
  // Development account 3: it has ether for the gas of wallet funding.
  const treasurySecret = anvil.accounts[3]!.privateKey;
  const gatewayKey = openKey(fromHex(gatewaySecret));
  const treasuryKey = openKey(fromHex(treasurySecret));
  await mint(anvil, treasuryKey.address, TREASURY_DOLLARS_ATOMIC);

  const ground: Ground = {
    anvil,
    contracts,
    network: `eip155:${contracts.chainId}`,
    gatewayKey,
    treasuryKey,
    treasurySecret,
    directory() {
      const directory = mkdtempSync(join(tmpdir(), "watt402-gateway-"));
      directories.push(directory);
      return directory;
    },
    keyFile(secret) {
      const file = join(ground.directory(), "key");
      writeFileSync(file, `${secret}\n`, { mode: 0o600 });
      return file;
    },
    config(sellerUrl, patch = {}, directory = ground.directory()) {
      const data = join(directory, "data");
      mkdirSync(data, { recursive: true });
      const paid = { network: ground.network, asset: contracts.token };
      return {
        gateway: { key: ground.keyFile(gatewaySecret), data, ...patch.gateway },
        broker: { kind: "embedded", port: 0, ...patch.broker },
        ...(patch.sellers
          ? { sellers: patch.sellers.map((seller) => ({ ...paid, ...seller })) }
          : { seller: { url: sellerUrl, ...paid, ...patch.seller } }),
        treasury: { key: ground.keyFile(treasurySecret), ...patch.treasury },
        chain: { rpc: anvil.rpcUrl, ...patch.chain },
        ...(patch.ledger ? { ledger: patch.ledger } : {}),
        ...(patch.limits ? { limits: patch.limits } : {}),
        ...(patch.forward ? { forward: patch.forward } : {}),
        ...(patch.market ? { market: patch.market } : {}),
        ...(patch.groups ? { groups: patch.groups } : {}),
        ...(patch.http ? { http: patch.http } : {}),
      };
    },
    async gateway(config, note = () => {}) {
      const gateway = await startGateway(checkConfig(config, "test"), note);
      gateways.push(gateway);
      return gateway;
    },
    light(brokerUrl, options = {}) {
      const light = lightUp(ground, brokerUrl, options);
      lights.push(light);
      return light;
    },
    async stop() {
      await Promise.all(lights.map((light) => light.stop()));
      await Promise.all(gateways.map((gateway) => gateway.stop().catch(() => undefined)));
      await anvil.stop();
      await Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true })));
    },
  };
  return ground;
}

// ---- a light ----

export interface LightOptions {
  readonly key?: Key;
  /** Metered units that a purchase should last for. */
  readonly wantedUnits?: number;
  /** Load of the lamp, milliwatts. */
  readonly loadMilliwatts?: number;
  /** Answers prices in the place of a plan of full light. */
  readonly priced?: PricedPlan;
  readonly priceCeiling?: number;
  readonly unit?: string;
  readonly readingMs?: number;
  readonly schemes?: readonly string[];
  /** What its policies of several tokens have of their own. */
  readonly policies?: readonly Partial<Policy>[];
  /** What it may sign under Permit2; nothing when absent. */
  readonly permit2?: Permit2Rules;
  /** Contracts that may verify a transfer in the token's place, and how long one may be good. */
  readonly verifiers?: { readonly contracts: readonly string[]; readonly secondsMax: number };
  /** Memory of a light before; it goes on where that one was cut off. */
  readonly memory?: LightMemory;
  readonly gatewayPublicKey?: Uint8Array;
  /** It buys single resources over the general transport, too. */
  readonly buysOnce?: boolean;
  readonly dailyBudgetAtomic?: number;
  /** What it wants of sellers that sign their terms. */
  readonly market?: HostParts["market"];
  /** Where it is, and what becomes of its connection there. */
  readonly moving?: { readonly whereabouts: Whereabouts; through(link: HostLink): HostLink };
  /** What proves it to a broker of others. */
  readonly account?: Pick<MqttLinkOptions, "tls" | "login">;
}

/** What survives a light's power cut: its meter's counter and its journal. */
export interface LightMemory {
  meterUnits: number;
  checkpoint: Checkpoint | null;
}

export interface Light {
  readonly host: Host;
  readonly key: Key;
  /** 40 lower-case hex digits. */
  readonly device: string;
  readonly memory: LightMemory;
  /** Every cumulative amount it signed, in the order of signing. */
  readonly signed: readonly number[];
  readonly grants: readonly Grant[];
  readonly troubles: readonly string[];
  /** Most it ever signed on its present channel. */
  maxSigned(): number;
  charged(): number;
  /** Resolves once so much was charged; rejects, with what the light last knew, after `limitMs`. */
  untilCharged(atomic: number, limitMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** 500 mWh in a quarter of a second. */
const LOAD_MILLIWATTS = 7_200_000;
const POLL_MS = 10;

function settingsOf(ground: Ground, options: LightOptions, loadMilliwatts: number, unit: string): Settings {
  const token = ground.contracts.token.toLowerCase();
  const policy: Policy = {
    schemes: options.schemes ?? ["batch-settlement", "exact"],
    network: ground.network,
    asset: token,
    contracts: [
      BATCH_SETTLEMENT_ADDRESS,
      token,
      ...(options.permit2 ? [PERMIT2_ADDRESS] : []),
      ...(options.verifiers?.contracts ?? []),
    ],
    payees: [],
    unit,
    priceCeiling: options.priceCeiling ?? 1_000_000,
    quantumMaxAtomic: 10_000,
    dailyBudgetAtomic: options.dailyBudgetAtomic ?? 1_000_000_000,
    unpaid: { kind: "off" },
  };
  const policies = options.policies?.map((own) => ({ ...policy, ...own }));
  return {
    policy: policies?.[0] ?? policy,
    ...(policies ? { policies } : {}),
    meter: { rollOverAt: 0, powerMaxMilliwatts: 2 * loadMilliwatts },
    ratedMilliwatts: loadMilliwatts,
    lowMarkPermille: 500,
    retry: { firstMs: 100, maxMs: 1000 },
    tickMs: 1000,
    readingMs: options.readingMs ?? 5000,
    signsOnDemand: true,
    levelWithoutClock: 100,
  };
}

function lightUp(ground: Ground, brokerUrl: string, options: LightOptions): Light {
  const key = options.key ?? openKey(fromHex(generatePrivateKey()));
  const memory = options.memory ?? { meterUnits: 0, checkpoint: null };
  const loadMilliwatts = options.loadMilliwatts ?? LOAD_MILLIWATTS;
  const unit = options.unit ?? "mWh";
  const clock = systemClock();
  const gatewayPublicKey = options.gatewayPublicKey ?? ground.gatewayKey.publicKey;
  const troubles: string[] = [];
  const grants: Grant[] = [];
  const signed: number[] = [];
  let level = 0;
  let since = clock.nowMs();
  const meterTo = (nowMs: number) => {
    memory.meterUnits += (((loadMilliwatts * level) / 100) * (nowMs - since)) / 3_600_000;
    since = nowMs;
  };
  const host = startHost({
    settings: settingsOf(ground, options, loadMilliwatts, unit),
    walletRules: () => rulesOf(options),
    buysOnce: options.buysOnce,
    market: options.market,
    whereabouts: options.moving?.whereabouts,
    key,
    gatewayPublicKey,
    clock,
    chainSeconds: () => Date.now() / 1000,
    random: Math.random,
    meter: {
      read(done) {
        meterTo(clock.nowMs());
        done({ raw: Math.floor(memory.meterUnits), powerMilliwatts: (loadMilliwatts * level) / 100 });
      },
    },
    lamp: {
      set(levelPercent) {
        meterTo(clock.nowMs());
        level = levelPercent;
      },
    },
    journal: {
      load: () => memory.checkpoint,
      store(checkpoint, done) {
        memory.checkpoint = checkpoint;
        done(null);
      },
    },
    link: connect(brokerUrl, key, options, { gatewayPublicKey, clock, troubles }),
    almanac: options.priced ?? { plan: () => [{ minuteOfDay: 0, levelPercent: 100 }] },
    priced: options.priced,
    describe: {
      model: "test light",
      firmware: "1",
      meter: "test meter",
      unit,
      wantedUnits: options.wantedUnits ?? 500,
    },
    observe(event, effects) {
      if (event.type === "grant") grants.push(event.grant);
      for (const rung of paid(effects)) signed.push(rung);
    },
  });
  const light: Light = {
    host,
    key,
    device: key.address.slice(2),
    memory,
    signed,
    grants,
    troubles,
    maxSigned: () => Math.max(0, ...signed),
    charged: () => host.state().channel?.charged ?? 0,
    untilCharged: (atomic, limitMs = 20_000) =>
      until(
        () => light.charged() >= atomic,
        limitMs,
        () => {
          const { channel, offerRefusal, answerRefusal, linkUp } = host.state();
          const known = {
            charged: channel?.charged,
            balance: channel?.balance,
            offerRefusal,
            answerRefusal,
            linkUp,
          };
          return `charged ${atomic}; the light knows ${JSON.stringify(known)}, ${troubles.slice(-3).join("; ")}`;
        },
      ),
    stop: () => host.stop(),
  };
  return light;
}

function connect(
  brokerUrl: string,
  key: Key,
  { account, moving }: LightOptions,
  { gatewayPublicKey, clock, troubles }: { gatewayPublicKey: Uint8Array; clock: Clock; troubles: string[] },
): HostLink {
  const link = openMqttLink({
    brokerUrl,
    ...account,
    protocolVersion: 4,
    key,
    gatewayPublicKey,
    keepaliveSeconds: 5,
    clock,
    random: Math.random,
    reconnect: { firstMs: 100, maxMs: 500 },
    onTrouble: (text) => troubles.push(text),
  });
  return moving?.through(link) ?? link;
}

function rulesOf({ permit2, verifiers }: LightOptions): WalletRules {
  return { permit2: permit2 ?? null, verifierSecondsMax: verifiers?.secondsMax ?? 0 };
}

function paid(effects: readonly Effect[]): number[] {
  return effects.flatMap((effect) => (effect.type === "pay" ? [effect.payment.maxClaimable] : []));
}

/** Waits for a condition; rejects with what was expected. */
export async function until(isSo: () => boolean, limitMs: number, expected: () => string): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!isSo()) {
    if (Date.now() > endMs) throw new Error(`expected within ${limitMs} ms: ${expected()}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
