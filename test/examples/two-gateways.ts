/**
 * Two gateways share a fleet: one key, one PostgreSQL ledger, one broker of others. When one stops, its lights go on
 * at the other.
 *
 *     WATT402_LEDGER_URL=postgres://watt402@127.0.0.1/watt402 WATT402_LEDGER_PASSWORD_FILE=password \
 *       WATT402_BROKER_URL=mqtt://127.0.0.1:1883 npx tsx test/examples/two-gateways.ts
 */
import { chargedTo, startLight } from "./light.ts";
import { Market, until } from "./market.ts";

const { WATT402_LEDGER_URL, WATT402_LEDGER_PASSWORD_FILE, WATT402_BROKER_URL } = process.env;
const LEDGER = [
  "ledger.kind=postgres",
  `ledger.url=${WATT402_LEDGER_URL}`,
  `ledger.passwordFile=${WATT402_LEDGER_PASSWORD_FILE}`,
];
const BROKER = ["broker.kind=external", `broker.url=${WATT402_BROKER_URL}`];

const market = await Market.open();
try {
  const seller = await market.sellElectricity();
  const north = await market.openGateway(seller.url, [...LEDGER, "gateway.name=north"], BROKER);
  const south = await market.openGateway(seller.url, [...LEDGER, "gateway.name=south"], BROKER);
  const served = () => [north, south].map((gateway) => gateway.status().duty.slots);
  await until("each gateway serves a part of the fleet", () => served().every((slots) => slots > 0));
  console.log(`north and south serve ${served().join(" and ")} of 64 slots`);

  const lights = Array.from({ length: 4 }, () => startLight(market, north));
  const charged = () => Math.min(...lights.map(chargedTo));
  await until("every light buys", () => charged() >= 300);

  await market.remove(north);
  const before = charged();
  await until("every light buys on from south", () => charged() >= before + 300);
  console.log(
    `north stopped, south serves ${south.status().duty.slots} of 64 slots, and every light buys on`,
  );
} finally {
  await market.stop();
}
