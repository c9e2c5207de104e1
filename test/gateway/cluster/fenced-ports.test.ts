// What a gateway does with messages of devices that it does not hold: it hands them over, and nothing else.

import { expect, test } from "vitest";
import type { ExternalBroker } from "#gateway/broker/external/external";
import { SOLE_MEMBER } from "#gateway/cluster/cluster";
import { fenceDevices, fenceRouter } from "#gateway/cluster/fenced-ports";
import { receiveByCluster } from "#gateway/open-cluster";
import { voucherPayload } from "#gateway/purchase/payload";
import type { SellerClient, SellerRouter } from "#gateway/purchase/ports";
import { newBench, newKey, openChannelOf, payOf, QUANTUM } from "../purchase/fixtures.ts";

const DEVICE = "12".repeat(20);

test("nothing is presented for a device that is not held here, and nothing published to it", async () => {
  const bench = newBench();
  const key = newKey();
  const channel = await openChannelOf(bench, key);
  let holds = true;
  const client: SellerClient = {
    name: "grid",
    seller: bench.seller,
    tariff: () => bench.seller.tariffNow(),
    lacks: () => ({ reason: "" }),
    refused: () => {},
    reconsider: async () => true,
    quote: (quantum) => bench.seller.quote(quantum),
    owns: () => true,
  };
  const router: SellerRouter = { shopFor: () => client, shopOf: () => client };
  const fenced = fenceRouter(router, { holds: () => holds }).shopOf(channel)!;
  expect(fenced.owns("grid")).toBe(true);
  const published: string[] = [];
  const devices = fenceDevices(
    { publish: (device, leaf) => published.push(`${device} ${leaf}`) },
    { holds: () => holds },
  );
  const payload = voucherPayload(channel, payOf(key, channel, QUANTUM), null);
  const present = () => fenced.seller.pay(channel, QUANTUM, payload);
  holds = false;
  expect(await present()).toMatchObject({ kind: "unavailable" });
  devices.publish(DEVICE, "grant", new Uint8Array(42), false);
  expect([bench.seller.presented, published]).toEqual([0, []]);
  holds = true;
  devices.publish(DEVICE, "grant", new Uint8Array(42), false);
  expect(published).toEqual([`${DEVICE} grant`]);
  expect(await present()).not.toMatchObject({ reason: expect.stringContaining("another gateway") });
  expect(bench.seller.presented).toBe(1);
  expect(fenceRouter({ ...router, shopOf: () => null }, { holds: () => true }).shopOf(channel)).toBeNull();
});

test("a message goes to the holder of its device, and is handed over once at most", () => {
  const taken: string[] = [];
  const handed: string[] = [];
  const broker = {
    handOver: (member: string, device: string, leaf: string) => handed.push(`${member} ${device} ${leaf}`),
  } as Pick<ExternalBroker, "handOver"> as ExternalBroker;
  let holder: string | null = null;
  let takes = true;
  const cluster = { ...SOLE_MEMBER, takes: () => takes, holderOf: () => holder };
  const receive = receiveByCluster(cluster, broker, (device, leaf) => taken.push(`${device} ${leaf}`));
  const pay = new Uint8Array(99);
  receive(DEVICE, "pay", pay, false);
  receive(DEVICE, "pay", pay, true);
  takes = false;
  receive(DEVICE, "pay", pay, false);
  holder = "south";
  receive(DEVICE, "hello", pay, false);
  // The sender's view was a moment older: the message must not go back and forth.
  receive(DEVICE, "hello", pay, true);
  expect(taken).toEqual([`${DEVICE} pay`, `${DEVICE} pay`]);
  expect(handed).toEqual([`south ${DEVICE} hello`]);
});
