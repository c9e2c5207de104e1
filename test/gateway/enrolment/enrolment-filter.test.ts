// The enrolment filter on a real ledger file: which devices pass, which wait, and how a decision takes effect.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { openEnrolment } from "#gateway/enrolment/enrolment";
import { EnrolmentFilter } from "#gateway/enrolment/enrolment-filter";
import { openSqliteLedger, type SqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import type { GatewayEvent } from "#gateway/purchase/ports";
import { hmacSha256 } from "#node/key/native-hmac";
import { fromHex, toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { decodeGrant } from "#protocol/frames";
import { isSealedFrame, sealJson } from "#protocol/tag";
import type { Leaf } from "#protocol/topics";
import { newKey } from "../purchase/fixtures.ts";

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

function newLedger(): SqliteLedger {
  const directory = mkdtempSync(join(tmpdir(), "watt402-enrolment-"));
  open.push(() => rmSync(directory, { recursive: true }));
  const ledger = openSqliteLedger(directory);
  open.push(() => ledger.close());
  return ledger;
}

const NO_DEVICE = {
  device: "0".repeat(40),
  publicKey: "",
  model: "",
  firmware: "",
  meter: "",
  unit: "",
  wantedUnits: 0,
  pays: "",
  payee: "",
};

const gatewayKey = openKey(fromHex(`0x${"22".repeat(32)}`));

function light() {
  const key = newKey();
  const tagger = { hmac: hmacSha256, key: tagKeyBetween(key, gatewayKey.publicKey) };
  const fields = { v: 1, publicKey: toHex(key.publicKey), model: "m", firmware: "1", meter: "none" };
  const hello = sealJson(tagger, "hello", { ...fields, unit: "mWh", wantedUnits: 500, register: 0 });
  return { device: key.address.slice(2), tagger, hello };
}

function newFilter(mode: "open" | "allow-list" | "pending", ledger = newLedger(), pendingMax = 10) {
  const through: string[] = [];
  const published: { device: string; leaf: Leaf; payload: Uint8Array }[] = [];
  const seen: GatewayEvent[] = [];
  const allowed = new Set<string>();
  const enrolment = openEnrolment({
    mode,
    pendingMax,
    ledger,
    allowed: () => allowed,
    now: () => 1_800_000_000,
  });
  const filter = new EnrolmentFilter(
    {
      key: gatewayKey,
      hmac: hmacSha256,
      enrolment,
      ledger,
      devices: { publish: (device, leaf, payload) => published.push({ device, leaf, payload }) },
      receive: (device, leaf, payload) => through.push(`${device} ${leaf} ${payload.length}`),
      note: () => {},
      observe: (occurrence) => seen.push(occurrence),
    },
    { devicesMax: 100, pendingMax },
  );
  /** A write of ours comes after those of the filter. */
  const settled = async () => {
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await ledger.saveDevice({ ...NO_DEVICE, wantedUnits: round });
    }
  };
  return { filter, through, published, seen, allowed, enrolment, ledger, settled };
}

const dropped = (seen: readonly GatewayEvent[]) =>
  seen.filter(({ type }) => type === "dropped").map((one) => (one as { reason: string }).reason);

test("where enrolment is open every message passes, in its order", async () => {
  const { filter, through, settled } = newFilter("open");
  const { device, hello } = light();
  for (let count = 0; count < 5; count += 1) filter.receive(device, "pay", new Uint8Array(count));
  filter.receive(device, "hello", hello);
  await settled();
  filter.receive(device, "pay", new Uint8Array(9));
  const sizes = [0, 1, 2, 3, 4].map((size) => `${device} pay ${size}`);
  expect(through).toEqual([...sizes, `${device} hello ${hello.length}`, `${device} pay 9`]);
});

test("a pending light says hello and hears not-enrolled; it waits in the ledger, and nothing else of it passes", async () => {
  const { filter, through, published, seen, ledger, settled } = newFilter("pending");
  const { device, tagger, hello } = light();
  filter.receive(device, "hello", hello);
  await settled();
  for (const leaf of ["pay", "state", "reading", "request", "payment"] as const)
    filter.receive(device, leaf, new Uint8Array(99));
  expect(through).toEqual([]);
  expect(published).toHaveLength(1);
  expect(isSealedFrame(tagger, "grant", published[0]!.payload)).toBe(true);
  expect(decodeGrant(published[0]!.payload).frame).toMatchObject({ refusal: "not-enrolled", charged: 0 });
  expect(dropped(seen)).toEqual(Array(5).fill("not-enrolled"));
  expect(ledger.enrolment(device)).toMatchObject({ state: "pending", askedSeconds: 1_800_000_000 });
  await filter.look();
  expect(filter.pending).toBe(1);
});

test("approval lets the hello that waited through at once; a refusal takes effect at once and takes the offer back", async () => {
  const { filter, through, published, ledger, settled } = newFilter("pending");
  const { device, hello } = light();
  filter.receive(device, "hello", hello);
  await settled();
  await ledger.decideEnrolment(device, "approved", 1);
  await filter.look();
  expect(through).toEqual([`${device} hello ${hello.length}`]);
  filter.receive(device, "pay", new Uint8Array(99));
  filter.devices.publish(device, "offer", new Uint8Array(7), true);
  expect(through).toHaveLength(2);
  expect(published.map(({ leaf, payload }) => `${leaf} ${payload.length}`)).toEqual(["grant 42", "offer 7"]);

  await ledger.decideEnrolment(device, "refused", 2);
  await filter.look();
  expect(published.at(-1)).toMatchObject({ leaf: "offer", payload: new Uint8Array(0) });
  filter.receive(device, "pay", new Uint8Array(99));
  filter.devices.publish(device, "offer", new Uint8Array(7), true);
  expect(through).toHaveLength(2);
  expect(published).toHaveLength(3);
});

test("a decision is seen by a gateway that was started later, or runs beside the one that heard the hello", async () => {
  const ledger = newLedger();
  const [one, other] = [newFilter("pending", ledger), newFilter("pending", ledger)];
  const { device, hello } = light();
  one.filter.receive(device, "hello", hello);
  other.filter.receive(device, "hello", hello);
  await one.settled();
  await ledger.decideEnrolment(device, "approved", 1);
  await Promise.all([one.filter.look(), other.filter.look()]);
  expect([one.through.length, other.through.length]).toEqual([1, 1]);
  const later = newFilter("pending", ledger);
  later.filter.receive(device, "pay", new Uint8Array(99));
  await later.settled();
  expect(later.through).toHaveLength(1);
});

test("an allow-list decides until the operator says otherwise, and a change of it takes effect without a restart", async () => {
  const { filter, through, allowed, enrolment, ledger, settled } = newFilter("allow-list");
  const [listed, other] = [light(), light()];
  allowed.add(listed.device);
  filter.receive(listed.device, "hello", listed.hello);
  filter.receive(other.device, "hello", other.hello);
  await settled();
  expect(through).toEqual([`${listed.device} hello ${listed.hello.length}`]);
  // Nothing is kept of a device that is not listed.
  expect(ledger.enrolment(other.device)).toBeNull();

  allowed.clear();
  allowed.add(other.device);
  filter.reconsider();
  await settled();
  filter.receive(other.device, "hello", other.hello);
  filter.receive(listed.device, "pay", new Uint8Array(99));
  expect(through.slice(1)).toEqual([`${other.device} hello ${other.hello.length}`]);

  await ledger.decideEnrolment(listed.device, "approved", 1);
  await ledger.decideEnrolment(other.device, "refused", 1);
  expect(await enrolment.state(listed.device)).toBe("enrolled");
  expect(await enrolment.state(other.device)).toBe("refused");
});

test("a refused light stays out where enrolment is open", async () => {
  const { filter, through, ledger, settled } = newFilter("open");
  const { device, hello } = light();
  await ledger.decideEnrolment(device, "refused", 1);
  filter.receive(device, "hello", hello);
  await settled();
  expect(through).toEqual([]);
});

test("no more wait than the bound, and one that proves no key does not wait at all", async () => {
  const { filter, ledger, seen, settled } = newFilter("pending", newLedger(), 3);
  for (let count = 0; count < 10; count += 1) {
    const { device, hello } = light();
    filter.receive(device, "hello", hello);
    const forged = light();
    filter.receive(forged.device, "hello", hello);
    await settled();
  }
  expect(ledger.pendingCount()).toBe(3);
  expect(dropped(seen).filter((reason) => reason === "wrong-tag")).toHaveLength(10);
});

test("decisions come out of the ledger page by page, by state, and in the order they were made", async () => {
  const ledger = newLedger();
  const devices = Array.from({ length: 5 }, () => light().device).sort();
  for (const device of devices) await ledger.awaitApproval(device, 7, 100);
  await ledger.decideEnrolment(devices[2]!, "approved", 8);
  await ledger.awaitApproval(devices[2]!, 9, 100);
  expect(ledger.enrolments("pending", "", 2)).toHaveLength(2);
  const names = async (state: "pending" | null, after: string) =>
    (await ledger.enrolments(state, after, 10)).map(({ device }) => device);
  expect(await names("pending", devices[1]!)).toEqual(devices.slice(3));
  expect(await names(null, "")).toEqual(devices);
  const since = await ledger.enrolmentsSince(0, 10);
  expect(since.map(({ device }) => device)).toEqual([...devices.filter((_, at) => at !== 2), devices[2]]);
  expect(await ledger.enrolmentsSince(since.at(-1)!.revision, 10)).toEqual([]);
  expect(since.at(-1)).toMatchObject({ state: "approved", askedSeconds: 7, decidedSeconds: 8 });
});
