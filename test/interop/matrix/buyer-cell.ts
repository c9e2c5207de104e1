// Our gateway and a light of its own, buying from a stock seller by one route alone.

import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { fromHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS } from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import type { Ground, Light } from "../../gateway/fixtures.ts";
import { agree, Disagreement } from "./cell.ts";
import type { MatrixChain } from "./chain.ts";
import { chargedAtomic, PRICE_ATOMIC, type Route } from "./routes.ts";
import { STOCK_SERVERS, startStockServer } from "./stock-server.ts";

export { STOCK_SERVERS };

const PURCHASES = 2;
const UNITS_PER_PAYMENT = 500;
/** 500 mWh in one second: a transfer of its own for each purchase takes its time. */
const LOAD_MILLIWATTS = 1_800_000;
const FACILITATOR_ACCOUNT = 7;
/** Without a purchase or a refusal until then, something is wrong that has no name. */
const PURCHASE_LIMIT_MS = 25_000;
/** A refusal is final when no purchase came for so long after it. */
const REFUSED_AFTER_MS = 8_000;
const LOOK_EVERY_MS = 20;

export async function playBuyerCell(
  ground: Ground,
  chain: MatrixChain,
  route: Route,
  against: (typeof STOCK_SERVERS)[number],
): Promise<void> {
  const facilitatorKey = chain.key(FACILITATOR_ACCOUNT);
  const stock = await startStockServer(against, chain, route, generatePrivateKey(), facilitatorKey);
  try {
    await buyFrom(ground, chain, route, stock.url, (light) => checkAccounts(chain, route, stock, light));
  } finally {
    await stock.close();
  }
}

/** Purchases by a light through a gateway of its own; `check` looks at the accounts when both have stopped. */
export async function buyFrom(
  ground: Ground,
  chain: MatrixChain,
  route: Route,
  url: string,
  check: (light: Light) => Promise<void>,
): Promise<void> {
  const refusals: Refusals = { firstMs: null, texts: new Set() };
  // A channel's deposits are the treasury's, by a scheme without channels each light pays from its own wallet.
  const payerKey = await chain.payer(route);
  const isByChannel = route.scheme === "batch-settlement";
  const gateway = await ground.gateway(
    ground.config(url, {
      seller: { kind: "fixed", unitsPerPayment: UNITS_PER_PAYMENT, schemes: [route.scheme] },
      ...(isByChannel ? { treasury: { key: ground.keyFile(payerKey) } } : {}),
    }),
    (level, text, fields) => {
      if (level === "info") return;
      refusals.firstMs ??= performance.now();
      // Its port is another one in each run.
      refusals.texts.add(String(fields.reason ?? text).replaceAll(url, "the seller"));
    },
  );
  const light = ground.light(gateway.brokerUrl, {
    ...(isByChannel ? {} : { key: openKey(fromHex(payerKey)) }),
    loadMilliwatts: LOAD_MILLIWATTS,
    schemes: [route.scheme],
    ...(route.transferMethod === "permit2"
      ? { permit2: permit2Rules(privateKeyToAddress(chain.key(FACILITATOR_ACCOUNT))) }
      : {}),
  });
  try {
    await untilCharged(light, PURCHASES * chargedAtomic(route), refusals);
  } finally {
    await light.stop();
    await gateway.stop();
  }
  await check(light);
}

/** The seller's own account, the chain and the light's say the same. */
async function checkAccounts(
  chain: MatrixChain,
  route: Route,
  stock: Awaited<ReturnType<typeof startStockServer>>,
  light: Light,
): Promise<void> {
  const each = chargedAtomic(route);
  const charged = light.charged();
  if (route.scheme === "batch-settlement") {
    agree("charges at the seller", await stock.charged(), stock.served * each);
    await stock.claim();
  }
  const received = await chain.tokensOf(stock.receiver);
  const paid = Number(received) / each;
  // Stock servers serve before they settle: what could not be settled is presented again, and served again.
  if (route.scheme !== "upto") agree("tokens that the seller received", received, stock.served * each);
  else if (paid > stock.served) throw new Disagreement(`paid ${paid} times for ${stock.served} answers`);
  const granted = light.grants.at(-1)?.granted ?? 0;
  agree("units that the light was granted", granted, (charged * UNITS_PER_PAYMENT) / PRICE_ATOMIC);
  // The last purchase may have been answered when the light was already stopped.
  const unanswered = paid - charged / each;
  if (unanswered !== 0 && unanswered !== 1)
    throw new Disagreement(`charged by the light's account: expected ${received}, found ${charged}`);
}

/** What the light's owner allows: payments through x402's own spenders, for this facilitator. */
function permit2Rules(facilitator: string): Permit2Rules {
  return {
    spenders: [EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS],
    facilitators: [facilitator.toLowerCase()],
    validityMaxSeconds: 600,
    approvals: ["eip2612", "erc20"],
    approveAtLeastAtomic: 0,
    gasPriceMaxWei: 100_000_000_000,
  };
}

/** What the gateway warned of. */
interface Refusals {
  firstMs: number | null;
  readonly texts: Set<string>;
}

async function untilCharged(light: Light, atomic: number, refusals: Refusals): Promise<void> {
  const endMs = performance.now() + PURCHASE_LIMIT_MS;
  while (light.charged() < atomic) {
    const nowMs = performance.now();
    const isRefused = light.charged() === 0 && nowMs > (refusals.firstMs ?? endMs) + REFUSED_AFTER_MS;
    if (isRefused || nowMs > endMs) {
      const heard = [...refusals.texts, ...light.troubles].join("; ");
      throw new Disagreement(
        heard || `no purchase within ${PURCHASE_LIMIT_MS / 1000} s, and no reason given`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
