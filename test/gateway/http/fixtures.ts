// A gateway's telemetry without the gateway: a fleet that observes events, and the HTTP server on a free port.

import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { ClusterStatus } from "#gateway/cluster/cluster-status";
import { dashboardFiles } from "#gateway/http/dashboard-files";
import { Feed } from "#gateway/http/feed";
import { Health } from "#gateway/http/health";
import { openHttpServer } from "#gateway/http/http-server";
import type { ChannelRecord, GatewayEvent, PaymentRecord, Tariff } from "#gateway/purchase/ports";
import type { SellerPrices } from "#gateway/sellers/price-board";
import type { SellerStatus } from "#gateway/sellers/seller-status";
import { frameOf } from "#gateway/telemetry/decoded-frames";
import { Fleet } from "#gateway/telemetry/fleet-view";
import type { Location } from "#gateway/telemetry/locations";
import { Metrics } from "#gateway/telemetry/metrics/metrics";
import type { StateMessage } from "#protocol/messages";
import { tokenName } from "#protocol/payment-token";

export const QUANTUM = 100;
export const PRICE = 200_000;
const UNITS = 500;
const DAY_SECONDS = 86_400;
const TICK_MS = 250;

export const TOKENS = [
  {
    network: "eip155:8453",
    asset: `0x${"a0".repeat(20)}`,
    symbol: "USDC",
    decimals: 6,
    lowBalanceAtomic: 0,
  },
] as const;

const PRICES: SellerPrices = {
  seller: "seller",
  token: TOKENS[0],
  series: {
    unit: "mWh",
    timeZone: "UTC",
    price: [[1_800_000_000, PRICE]],
    fromSeconds: 1_800_000_000,
    untilSeconds: 1_800_003_600,
  },
};

export const TARIFF: Tariff = {
  unit: "mWh",
  pricePerMillionUnits: PRICE,
  validUntilSeconds: 0,
  menu: [QUANTUM],
};

export const deviceName = (index: number) => `${"a1b2c3d4".repeat(4)}${index.toString(16).padStart(8, "0")}`;
export const channelOf = (index: number) => `0x${(index + 1).toString(16).padStart(64, "0")}`;

export function channelRecord(index: number, charged: number, promised = 200_000): ChannelRecord {
  const payTo = `0x${"5e".repeat(20)}`;
  return {
    id: channelOf(index),
    device: deviceName(index),
    seller: "grid",
    resource: "https://electricity.example.org/v1/energy?quantum=100",
    requirements: {
      scheme: "batch-settlement",
      network: TOKENS[0].network,
      amount: String(QUANTUM),
      asset: TOKENS[0].asset,
      payTo,
      maxTimeoutSeconds: 60,
      extra: {},
    },
    config: null,
    balance: promised,
    promised,
    charged,
    signed: charged,
    granted: (charged / QUANTUM) * UNITS,
    revision: 1,
  };
}

export function stateOf(patch: Partial<StateMessage> = {}): StateMessage {
  return {
    v: 1,
    status: "online",
    register: 1_000,
    credit: 400,
    powerMilliwatts: 60_000,
    levelPercent: 100,
    wantedPercent: 100,
    starved: false,
    refusal: null,
    channelId: null,
    charged: 0,
    maxClaimable: 0,
    granted: 0,
    epoch: 0,
    ...patch,
  };
}

const GRID: SellerStatus = {
  name: "grid",
  kind: "electricity",
  url: "https://electricity.example.org",
  network: TOKENS[0].network,
  asset: TOKENS[0].asset,
  standing: "good",
  reason: "",
  forSeconds: 0,
  circuit: "closed",
  pricePerMillionUnits: PRICE,
  unit: "mWh",
  answered: 0,
  failed: 0,
  refused: 0,
  underWay: 0,
  waiting: 0,
};

/** Two gateways that share the fleet. */
const CLUSTER: ClusterStatus = {
  state: "active",
  leaseLeftSeconds: 5.2,
  slots: 33,
  slotsOfAll: 64,
  takeovers: 31,
  members: [
    { member: "a1", name: "north", isSelf: true, isLive: true, hears: true, delivery: "shared", slots: 33 },
    { member: "b2", name: "south", isSelf: false, isLive: true, hears: true, delivery: "shared", slots: 31 },
  ],
};

const HELLO = {
  v: 1,
  publicKey: `0x02${"11".repeat(32)}`,
  model: "LED 60",
  firmware: "1.0",
  meter: "SDM120",
  unit: "mWh",
  wantedUnits: 500,
  register: 0,
} as const;

function paymentRecord({ id, charged, granted }: ChannelRecord, atSeconds: number): PaymentRecord {
  return {
    channelId: id,
    maxClaimable: charged,
    amountAtomic: QUANTUM,
    charged,
    granted,
    pricePerMillionUnits: PRICE,
    register: charged * 5,
    signature: `0x${"ee".repeat(65)}`,
    transaction: "",
    atSeconds,
  };
}

/** The payment of the light with this index, and its answer. */
function purchaseEvents(index: number, channel: ChannelRecord): GatewayEvent[] {
  const { charged, granted } = channel;
  const device = deviceName(index);
  const channelTag = index + 1;
  const pay = {
    again: false,
    channelTag,
    maxClaimable: charged,
    register: charged * 5,
    validBeforeSeconds: 0,
    signature: new Uint8Array(65).fill(0xee),
  };
  const grant = {
    refusal: null,
    channelTag,
    charged,
    granted,
    pricePerMillionUnits: PRICE,
    validUntilSeconds: 0,
  };
  return [
    { type: "pay", device, pay },
    { type: "answered", device, channel, grant, tookSeconds: 0.012 },
  ];
}

function depositRecord(channelId: string, atSeconds: number) {
  return {
    channelId,
    index: 0,
    amountAtomic: 200_000,
    validBeforeSeconds: 2_000_000_000,
    signature: `0x${"dd".repeat(65)}`,
    state: "confirmed",
    isNewcomer: false,
    token: tokenName(TOKENS[0]),
    atSeconds,
  } as const;
}

const VERSION = (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version;

/** What the stage's lights have paid, as a ledger answers. */
function ledgerOf(
  fleet: Fleet,
  charged: ReadonlyMap<number, number>,
  payments: ReadonlyMap<string, PaymentRecord[]>,
  now: () => number,
) {
  return {
    enrolments: () => [],
    channelsOf: async (device: string) => {
      const light = fleet.light(device);
      return light ? [channelRecord(light.index, charged.get(light.index) ?? 0)] : [];
    },
    paymentsAfter: async (id: string, after: number, limit: number) =>
      (payments.get(id) ?? []).filter(({ maxClaimable }) => maxClaimable > after).slice(0, limit),
    deposits: async (channelId: string) => [depositRecord(channelId, Math.floor(now() - DAY_SECONDS))],
  };
}

export interface StageOptions {
  readonly locations?: ReadonlyMap<string, Location>;
  readonly token?: string | null;
}

export type Stage = Awaited<ReturnType<typeof openStage>>;

export async function openStage({ locations = new Map(), token = null }: StageOptions = {}) {
  let offsetSeconds = 0;
  const now = () => Date.now() / 1000 + offsetSeconds;
  const fleet = new Fleet({ locations, lightsMax: 100_000, tokens: TOKENS, now });
  const feed = new Feed(fleet);
  const sellers: SellerStatus[] = [GRID];
  const health = new Health({
    brokerIsUp: () => true,
    brokerWarning: () => "",
    clusterTrouble: () => "",
    sellers: () => sellers,
    tokens: TOKENS,
    treasuryAtomic: async () => 123_456_789,
    dataFolder: tmpdir(),
    wallSeconds: now,
    monotonicSeconds: now,
  });
  await health.look();
  const metrics = new Metrics({
    fleet,
    lightsMax: 100_000,
    lowBalanceDays: 1,
    isUp: () => ({ broker: true, seller: true, ledger: true, clock: true, chain: true, duty: true }),
    cluster: () => CLUSTER,
    sellers: () => sellers,
    treasury: () => health.treasury,
    access: { broker: () => null, others: () => null, devicesPending: () => 0, certificates: () => ({}) },
    journal: () => ({ payments: 3, bytes: 900, sinceSeconds: now() - 7 }),
    viewers: () => feed.viewers,
    webhooksQueued: () => 0,
    now,
  });
  const charged = new Map<number, number>();
  const payments = new Map<string, PaymentRecord[]>();

  function tell(occurrence: GatewayEvent): void {
    fleet.observe(occurrence);
    metrics.observe(occurrence);
    const frame = feed.wantsFrames ? frameOf(occurrence, now()) : null;
    if (frame !== null) feed.frame(frame);
  }

  const stage = {
    fleet,
    feed,
    health,
    metrics,
    /** To be changed by tests. */
    sellers,
    tell,
    /** Moves the clock. */
    pass(seconds: number) {
      offsetSeconds += seconds;
    },
    hello(index: number) {
      tell({ type: "hello", device: deviceName(index), hello: HELLO });
      tell({ type: "offered", device: deviceName(index), channel: channelRecord(index, 0), tariff: TARIFF });
    },
    state(index: number, patch: Partial<StateMessage> = {}) {
      tell({ type: "state", device: deviceName(index), state: stateOf(patch) });
    },
    /** One payment through, as the rules tell it. */
    pay(index: number, promised = 200_000) {
      const after = (charged.get(index) ?? 0) + QUANTUM;
      charged.set(index, after);
      const channel = channelRecord(index, after, promised);
      const known = payments.get(channel.id) ?? [];
      payments.set(channel.id, [...known, paymentRecord(channel, Math.floor(now()))]);
      for (const event of purchaseEvents(index, channel)) tell(event);
    },
    url: "",
    async close() {
      clearInterval(timer);
      feed.close();
      await server.close();
    },
  };
  const timer = setInterval(() => feed.tick(), TICK_MS);
  const server = await openHttpServer({
    host: "127.0.0.1",
    port: 0,
    token,
    fleet,
    feed,
    health,
    metrics,
    prices: () => [PRICES],
    cluster: () => CLUSTER,
    ledger: ledgerOf(fleet, charged, payments, now),
    tokens: TOKENS,
    unit: "mWh",
    sellers: () => sellers,
    treasury: () => health.treasury,
    treasuryAddress: `0x${"7e".repeat(20)}`,
    version: VERSION,
    page: dashboardFiles(),
  });
  stage.url = server.url;
  return stage;
}
