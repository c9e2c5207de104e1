// What a gateway does with messages of devices that it does not hold: it hands them over, and nothing else.

import { expect, test } from "vitest";
import type { ExternalBroker } from "#gateway/broker/external/external";
import { SOLE_MEMBER } from "#gateway/cluster/cluster";
import { fenceDevices, receiveByCluster } from "#gateway/open-cluster";
import { voucherPayload } from "#gateway/purchase/payload";
import { UNTIMED } from "#gateway/purchase/ports";
import { GuardedSeller } from "#gateway/sellers/guarded-seller";
import { newBench, newKey, openChannelOf, payOf, QUANTUM } from "../purchase/fixtures.ts";
import { testTimer } from "../sellers/timer.ts";

const DEVICE = "12".repeat(20);

test("nothing is presented for a device that another gateway serves, and nothing published to it", async () => {
  const bench = newBench();
  const key = newKey();
  const channel = await openChannelOf(bench, key);
  let holds = true;
  const took: string[] = [];
  const seller = new GuardedSeller(
    bench.seller,
    { name: "grid", callsMax: 1, queueMax: 1, awayAfterMs: 1_000 },
    {
      timer: testTimer(),
      note: () => {},
      timing: { ...UNTIMED, took: (part) => took.push(part) },
      holds: () => holds,
      changed: () => {},
      termsTrouble: async () => "",
    },
    () => {},
  );
  const published: string[] = [];
  const devices = fenceDevices(
    { publish: (device, leaf) => published.push(`${device} ${leaf}`) },
    { holds: () => holds },
  );
  const payload = voucherPayload(channel, payOf(key, channel, QUANTUM), null);
  const present = () => seller.pay(channel, QUANTUM, payload);
  holds = false;
  expect(await present()).toMatchObject({ kind: "unavailable" });
  devices.publish(DEVICE, "grant", new Uint8Array(42), false);
  expect([bench.seller.presented, published, took]).toEqual([0, [], []]);
  expect(seller.load()).toMatchObject({ answered: 0, failed: 0, refused: 0, underWay: 0 });
  holds = true;
  devices.publish(DEVICE, "grant", new Uint8Array(42), false);
  expect(published).toEqual([`${DEVICE} grant`]);
  expect(await present()).not.toMatchObject({ reason: expect.stringContaining("another gateway") });
  expect([bench.seller.presented, took]).toEqual([1, ["seller"]]);
  seller.stop();
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
