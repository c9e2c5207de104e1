// Our seller, bought from by a stock client: by one route alone, two purchases, from a payer of its own.

import { decodePaymentResponseHeader } from "@x402/core/http";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { startSeller } from "#simulator/seller/seller";
import type { Ground } from "../../gateway/fixtures.ts";
import { agree, Disagreement } from "./cell.ts";
import type { MatrixChain } from "./chain.ts";
import { chargedAtomic, PRICE_ATOMIC, type Route, USED_ATOMIC } from "./routes.ts";
import { STOCK_CLIENTS, stockClient } from "./stock-clients.ts";

export { STOCK_CLIENTS };

const PURCHASES = 2;
/** Atomic units for a kWh, and so 185 mWh for the 37 units that upto is charged. */
const PRICE_PER_KWH = 200_000;
const USED_UNITS = (USED_ATOMIC * 1_000_000) / PRICE_PER_KWH;
const FACILITATOR_ACCOUNT = 8;

export async function playSellerCell(
  ground: Pick<Ground, "directory">,
  chain: MatrixChain,
  route: Route,
  client: (typeof STOCK_CLIENTS)[number],
): Promise<void> {
  const receiverKey = generatePrivateKey();
  const receiver = privateKeyToAccount(receiverKey).address;
  const seller = await startSeller({
    rpcUrl: chain.anvil.rpcUrl,
    dataDirectory: ground.directory(),
    receiverKey,
    facilitatorKey: chain.key(FACILITATOR_ACCOUNT),
    token: chain.contracts.token,
    tariff: flatTariff(PRICE_PER_KWH),
    schemes: [route.scheme],
    transferMethods: [route.transferMethod],
    gasSponsoring: route.sponsoring === null ? [] : [route.sponsoring],
    minDepositAtomic: 10 * PRICE_ATOMIC,
    log: () => {},
  });
  try {
    const payerKey = await chain.payer(route);
    const payer = privateKeyToAccount(payerKey).address;
    const buy = stockClient(client, chain, payerKey);
    const query = route.scheme === "upto" ? `&units=${USED_UNITS}` : "";
    const each = chargedAtomic(route);
    let account = "";
    for (let purchase = 1; purchase <= PURCHASES; purchase += 1) {
      const bought = await buy(`${seller.url}/v1/energy?quantum=${PRICE_ATOMIC}${query}`);
      const { charged, granted, ...answer } = bought.body as Record<string, unknown>;
      if (bought.status !== 200)
        throw new Disagreement(`purchase ${purchase}: status ${bought.status}, ${JSON.stringify(answer)}`);
      account = String(answer.account);
      agree(`purchase ${purchase}: charged`, charged, purchase * each);
      agree(`purchase ${purchase}: granted`, granted, (purchase * each * 1_000_000) / PRICE_PER_KWH);
      const receipt = decodePaymentResponseHeader(bought.header("PAYMENT-RESPONSE") ?? "");
      agree(`purchase ${purchase}: receipt`, receipt.success, true);
      agree(`purchase ${purchase}: payer`, receipt.payer?.toLowerCase(), payer.toLowerCase());
      if (route.scheme !== "batch-settlement") agree("receipt's amount", receipt.amount, each);
    }
    const known = (await (await fetch(`${seller.url}/v1/accounts/${account}`)).json()) as { charged: number };
    agree("account", known.charged, PURCHASES * each);
    await seller.stop();
    agree("receiver's tokens", await chain.tokensOf(receiver), PURCHASES * each);
  } finally {
    await seller.stop();
  }
}
