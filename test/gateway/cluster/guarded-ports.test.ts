// What a gateway does with devices of which it has no duty, or no more: nothing but hand over.

import { expect, test } from "vitest";
import type { ExternalBroker } from "#gateway/broker/external/external";
import { SOLE_MEMBER } from "#gateway/cluster/cluster";
import { fenceDevices, fenceRouter } from "#gateway/cluster/fenced-ports";
import { receiveByCluster } from "#gateway/open-cluster";
import { voucherPayload } from "#gateway/purchase/payload";
import type { SellerClient, SellerRouter } from "#gateway/purchase/ports";
import { newBench, newKey, openChannelOf, payOf, QUANTUM } from "../purchase/fixtures.ts";

const DEVICE = "12".repeat(20);

test("without its duty nothing is presented for a device and nothing published to it", async () => {
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
  const router: SellerRouter = { clientFor: () => client, clientOf: () => client };
  const guarded = fenceRouter(router, { holds: () => holds }).clientOf(channel)!;
  expect(guarded.owns("grid")).toBe(true);
  const said: string[] = [];
  const devices = fenceDevices(
    { publish: (device, leaf) => said.push(`${device} ${leaf}`) },
    { holds: () => holds },
  );
  const payload = voucherPayload(channel, payOf(key, channel, QUANTUM), null);
  const present = () => guarded.seller.pay(channel, QUANTUM, payload);
  holds = false;
  expect(await present()).toMatchObject({ kind: "unavailable" });
  devices.publish(DEVICE, "grant", new Uint8Array(42), false);
  expect([bench.seller.presented, said]).toEqual([0, []]);
  holds = true;
  devices.publish(DEVICE, "grant", new Uint8Array(42), false);
  expect(said).toEqual([`${DEVICE} grant`]);
  expect(await present()).not.toMatchObject({ reason: expect.stringContaining("another gateway") });
  expect(bench.seller.presented).toBe(1);
  expect(
    fenceRouter({ ...router, clientOf: () => null }, { holds: () => true }).clientOf(channel),
  ).toBeNull();
});

test("a message goes to whoever has its device's duty, and is handed over once at most", () => {
  const taken: string[] = [];
  const handed: string[] = [];
  const broker = {
    handOver: (member: string, device: string, leaf: string) => handed.push(`${member} ${device} ${leaf}`),
  } as Pick<ExternalBroker, "handOver"> as ExternalBroker;
  let holder: string | null = null;
  let takes = true;
  const duty = { ...SOLE_MEMBER, takes: () => takes, holderOf: () => holder };
  const receive = receiveByCluster(duty, broker, (device, leaf) => taken.push(`${device} ${leaf}`));
  const pay = new Uint8Array(99);
  receive(DEVICE, "pay", pay, false);
  receive(DEVICE, "pay", pay, true);
  takes = false;
  receive(DEVICE, "pay", pay, false);
  holder = "south";
  receive(DEVICE, "hello", pay, false);
  // Whoever handed it over saw the roster of a moment before: back and forth it must not go.
  receive(DEVICE, "hello", pay, true);
  expect(taken).toEqual([`${DEVICE} pay`, `${DEVICE} pay`]);
  expect(handed).toEqual([`south ${DEVICE} hello`]);
});
