import { describe, expect, it } from "vitest";
import { channelTagOf } from "#core/rungs";
import { MESSAGES_WAITING_MAX } from "#host/event-queue";
import { SIGNED_AHEAD_SECONDS } from "#host/rung-signer";
import { PORT_ANSWER_MS } from "#node/host";
import { recoverAddress } from "#payment/key";
import { LIFE_LEFT_SECONDS } from "#payment/offer/offer";
import { signWith } from "#payment/signer";
import { voucherDigest } from "#payment/voucher";
import { sealFrame, sealJson } from "#protocol/tag";
import {
  ALWAYS_ON,
  Bench,
  CHANNEL,
  CHANNEL_ID,
  DEVICE_KEY,
  exactTerms,
  heldSigner,
  SETTINGS,
  TAGGER,
} from "./fixtures.ts";

const TAG = channelTagOf(CHANNEL_ID);

function linked(bench: Bench, parts: Parameters<Bench["start"]>[0] = {}) {
  const host = bench.start(parts);
  bench.link(true);
  bench.offer();
  return host;
}

describe("a host whose ports answer at once", () => {
  it("carries a purchase from offer to light within the calls that bring the news", () => {
    const bench = new Bench();
    const host = linked(bench);
    expect(bench.pays()).toHaveLength(1);
    bench.grant(TAG, 100, 500);
    expect(host.state().levelPercent).toBe(100);
    expect(bench.did.findLast((one) => one.did === "lamp")).toMatchObject({ levelPercent: 100 });
  });

  it("stores the reserve before the first payment leaves", () => {
    const bench = new Bench();
    linked(bench);
    const order = bench.did.map((one) => (one.did === "publish" ? one.leaf : one.did));
    expect(order.indexOf("store")).toBeGreaterThanOrEqual(0);
    const reserving = bench.did.findIndex(
      (one) => one.did === "store" && (one.checkpoint.channels[0]?.reserved ?? 0) >= 100,
    );
    expect(reserving).toBeGreaterThanOrEqual(0);
    expect(reserving).toBeLessThan(order.indexOf("pay"));
  });

  it("follows a plan that changes within its day at once", () => {
    const bench = new Bench();
    let levelPercent = 100;
    let changed = () => {};
    const almanac = {
      plan: () => [{ minuteOfDay: 0, levelPercent }],
      onChange(take: () => void) {
        changed = take;
      },
    };
    const host = linked(bench, { almanac });
    bench.grant(TAG, 100, 500);
    levelPercent = 40;
    changed();
    expect(host.state().levelPercent).toBe(40);
    expect(bench.did.findLast((one) => one.did === "lamp")).toMatchObject({ levelPercent: 40 });
  });

  it("says hello again where only another offer helps its load, and not while its link is down", () => {
    const bench = new Bench();
    let wish = () => {};
    const offerWish = {
      onWish(take: () => void) {
        wish = take;
      },
    };
    const host = linked(bench, { offerWish });
    const hellos = () => bench.messages("hello").length;
    const before = hellos();
    wish();
    expect(hellos()).toBe(before + 1);
    bench.link(false);
    wish();
    expect(hellos()).toBe(before + 1);
    expect(host.state().linkUp).toBe(false);
  });

  it("opens the relay at the very instant its credit ends", () => {
    const bench = new Bench();
    linked(bench);
    bench.grant(TAG, 100, 500);
    bench.link(false);
    // 500 mWh at 60 W last 30 s.
    bench.clock.advance(29_900);
    expect(bench.did.findLast((one) => one.did === "lamp")).toMatchObject({ levelPercent: 100 });
    bench.clock.advance(200);
    expect(bench.did.findLast((one) => one.did === "lamp")).toMatchObject({ levelPercent: 0 });
    expect(bench.raw()).toBeLessThanOrEqual(501);
  });

  it("signs vouchers that recover to the device's address, each rung a quantum above the last", () => {
    const bench = new Bench();
    bench.answering = true;
    linked(bench);
    // 3000 mWh at 60 W are six quanta.
    bench.clock.advance(180_000);
    const pays = bench.pays();
    expect(pays.map((pay) => pay.maxClaimable)).toEqual(pays.map((_, rung) => (rung + 1) * 100));
    expect(pays.length).toBeGreaterThanOrEqual(6);
    expect(pays.length).toBeLessThanOrEqual(7);
    for (const pay of pays) {
      const digest = voucherDigest(CHANNEL_ID, pay.maxClaimable, 31337);
      expect(recoverAddress(digest, pay.signature)).toBe(DEVICE_KEY.address);
    }
  });

  it("sends hello on every connect and publishes its state retained", () => {
    const bench = new Bench();
    bench.start();
    bench.link(true);
    bench.link(false);
    bench.link(true);
    expect(bench.messages("hello")).toHaveLength(2);
    expect(bench.messages("hello")[0]).toMatchObject({ v: 1, model: "bench", register: 0 });
    expect(bench.messages("state").at(-1)).toMatchObject({ status: "online", starved: true });
    const states = bench.did.filter((one) => one.did === "publish" && one.leaf === "state");
    expect(states.every((one) => one.did === "publish" && one.retained)).toBe(true);
  });

  it("asks the almanac once a day and follows the new day's plan", () => {
    const bench = new Bench();
    const days: number[] = [];
    const plan = (wallSeconds: number) => {
      days.push(Math.floor(wallSeconds / 86_400));
      return days.length === 1 ? ALWAYS_ON : [{ minuteOfDay: 0, levelPercent: 0 }];
    };
    const host = linked(bench, { almanac: { plan } });
    expect(host.state().wantedPercent).toBe(100);
    bench.clock.advance(26 * 3_600_000);
    expect(days).toEqual([days[0], days[0]! + 1]);
    expect(host.state().wantedPercent).toBe(0);
  });

  it("keeps no timer but the wake, and none after its stop", async () => {
    const bench = new Bench();
    const host = linked(bench);
    bench.clock.advance(600_000);
    expect(bench.clock.armed).toBe(1);
    await host.stop();
    expect(bench.clock.armed).toBe(0);
  });
});

describe("a host whose journal fails", () => {
  it("lets no payment out behind a checkpoint that was not stored, and pays once the disk is back", () => {
    const bench = new Bench();
    bench.storing = "disk full";
    const host = linked(bench);
    bench.clock.advance(600_000);
    expect(bench.pays()).toHaveLength(0);
    expect(host.state().hostRefusal).toBe("journal-failed");
    expect(bench.messages("state").at(-1)).toMatchObject({ refusal: "journal-failed" });

    bench.storing = null;
    bench.clock.advance(60_000);
    expect(host.state().hostRefusal).toBeNull();
    expect(bench.pays().length).toBeGreaterThanOrEqual(1);
    expect(bench.stored!.channels[0]!.reserved).toBeGreaterThanOrEqual(bench.pays()[0]!.maxClaimable);
  });

  it("tries the store again at a bounded rate, not in a loop", () => {
    const bench = new Bench();
    bench.storing = "disk full";
    const host = linked(bench);
    bench.clock.advance(3_600_000);
    expect(host.counters.failedStores).toBeGreaterThan(10);
    expect(host.counters.failedStores).toBeLessThan(100);
  });

  it("takes a journal that never answers for a failed one, and still opens the relay", () => {
    const bench = new Bench();
    linked(bench);
    bench.grant(TAG, 100, 500);
    const late: ((error: string | null) => void)[] = [];
    bench.storing = (done) => void late.push(done);
    // A new channel makes the machine store, and the disk hangs.
    bench.offer({ channel: { ...CHANNEL, salt: `0x${"02".repeat(32)}` } });
    expect(late).toHaveLength(1);
    const paid = bench.pays().length;
    bench.clock.advance(PORT_ANSWER_MS + 60_000);
    expect(bench.did.findLast((one) => one.did === "lamp")).toMatchObject({ levelPercent: 0 });
    expect(bench.pays()).toHaveLength(paid);
    // Too late to be believed: the retry decides.
    late[0]!(null);
    expect(bench.pays()).toHaveLength(paid);
  });

  it("holds back a rung due again while an earlier store is owed, even before the machine heard of it", () => {
    const bench = new Bench();
    const late: ((error: string | null) => void)[] = [];
    bench.storing = (done) => void late.push(done);
    const host = bench.start();
    while (late.length > 0) late.shift()!(null);
    bench.link(true);
    bench.offer();
    // The offer's checkpoint reserves the first rungs; time for a resend passes while it hangs.
    expect(late).toHaveLength(1);
    bench.clock.advance(PORT_ANSWER_MS - 1);
    late.shift()!("disk full");
    expect(bench.pays()).toHaveLength(0);
    expect(host.state().hostRefusal).toBe("journal-failed");
  });
});

describe("a host whose signer fails", () => {
  it("freezes payments, tries the same rung again, and goes on", () => {
    const bench = new Bench();
    const signer = heldSigner(signWith(DEVICE_KEY), true);
    signer.holding = false;
    const host = linked(bench, { signer });
    bench.clock.advance(120_000);
    expect(host.state().hostRefusal).toBe("signer-failed");
    expect(bench.pays()).toHaveLength(0);
    const asked = signer.asked;
    expect(asked).toBeGreaterThan(2);

    signer.failing = false;
    bench.clock.advance(120_000);
    expect(host.state().hostRefusal).toBeNull();
    expect(bench.pays().at(-1)!.maxClaimable).toBe(100);
  });

  it("signs nothing after a price above its ceiling was heard, however often it tries, until one below comes", () => {
    const bench = new Bench();
    const signer = heldSigner(signWith(DEVICE_KEY), true);
    signer.holding = false;
    const host = linked(bench, { signer });
    expect(host.state().hostRefusal).toBe("signer-failed");
    const { priceCeiling } = SETTINGS.policy;
    bench.offer({ revision: 2, pricePerMillionUnits: priceCeiling + 1 });
    expect(host.state().offerRefusal).toBe("price-above-ceiling");

    signer.failing = false;
    const asked = signer.asked;
    bench.clock.advance(600_000);
    expect(signer.asked).toBe(asked);
    expect(bench.pays()).toHaveLength(0);

    bench.offer({ revision: 3, pricePerMillionUnits: priceCeiling });
    bench.clock.advance(120_000);
    expect(host.state().hostRefusal).toBeNull();
    expect(bench.pays().at(-1)!.maxClaimable).toBe(100);
  });
});

describe("a host that is busy", () => {
  it("steps nothing while an effect is outstanding, and refuses messages above its bound", () => {
    const bench = new Bench();
    const signer = heldSigner(signWith(DEVICE_KEY), false);
    const host = linked(bench, { signer });
    expect(signer.asked).toBe(1);
    for (let i = 0; i < MESSAGES_WAITING_MAX + 10; i++) bench.grant(TAG, 0, 0);
    expect(host.counters.dropped).toBe(10);
    signer.release();
    expect(bench.pays()).toHaveLength(1);
    bench.grant(TAG, 100, 500);
    expect(host.state().levelPercent).toBe(100);
  });

  it("hears only the newest of many link changes, and it is the true one", () => {
    const bench = new Bench();
    const signer = heldSigner(signWith(DEVICE_KEY), false);
    const host = linked(bench, { signer });
    for (let i = 0; i < 1000; i++) bench.link(i % 2 === 0);
    signer.release();
    expect(host.state().linkUp).toBe(false);
    expect(host.counters.dropped).toBe(0);
  });
});

describe("a host among strangers", () => {
  it("counts and drops what is foreign, truncated, bent or on the wrong leaf, and changes nothing", () => {
    const bench = new Bench();
    const host = linked(bench);
    const before = JSON.stringify(host.state());
    const other = { ...TAGGER, key: new Uint8Array(32).fill(1) };
    bench.deliver("offer", sealJson(other, "offer", bench.offerMessage()));
    bench.deliver("grant", sealFrame(other, "grant", new Uint8Array(26)));
    bench.deliver("grant", new Uint8Array(0));
    bench.deliver("offer", new TextEncoder().encode("{"));
    // Rightly sealed for another leaf.
    bench.deliver("grant", sealJson(TAGGER, "offer", bench.offerMessage()));
    expect(host.counters.foreign).toBe(5);
    bench.deliver("offer", sealJson(TAGGER, "offer", { ...bench.offerMessage(), surprise: 1 }));
    bench.deliver("grant", sealFrame(TAGGER, "grant", new Uint8Array(26)));
    expect(host.counters.malformed).toBe(2);
    bench.deliver("response", new Uint8Array(3));
    expect(JSON.stringify(host.state())).toBe(before);
  });

  it("reports an offer whose channel names another signer, and signs nothing for it", () => {
    const bench = new Bench();
    const host = bench.start();
    bench.link(true);
    bench.offer({ channel: { ...CHANNEL, payerAuthorizer: CHANNEL.payer } });
    expect(host.state().offerRefusal).toBe("channel-id-mismatch");
    expect(bench.pays()).toHaveLength(0);
  });
});

describe("an exact payment", () => {
  it("keeps one authorization while it is resent, and renews it only near its end", () => {
    const bench = new Bench();
    const settings = { retry: { firstMs: 20_000, maxMs: 20_000 } };
    const host = bench.start({ settings: { ...SETTINGS, ...settings } });
    bench.link(true);
    bench.deliver("offer", sealJson(TAGGER, "offer", exactTerms(bench.offerMessage())));
    const begun = Math.floor(bench.clock.wallSeconds()!);
    bench.clock.advance((SIGNED_AHEAD_SECONDS - 20) * 1000);
    const first = bench.pays();
    expect(first.length).toBeGreaterThan(10);
    expect(new Set(first.map((pay) => pay.validBeforeSeconds))).toEqual(
      new Set([begun + SIGNED_AHEAD_SECONDS + LIFE_LEFT_SECONDS]),
    );
    expect(new Set(first.map((pay) => Buffer.from(pay.signature).toString("hex"))).size).toBe(1);

    bench.clock.advance(LIFE_LEFT_SECONDS * 1000);
    const renewed = bench.pays().at(-1)!;
    expect(renewed.validBeforeSeconds).toBeGreaterThan(begun + SIGNED_AHEAD_SECONDS + LIFE_LEFT_SECONDS);
    expect(renewed.maxClaimable).toBe(100);
    expect(host.counters.published).toBe(1);
    expect(host.counters.resent).toBe(bench.pays().length - 1);
  });

  it("is held back while the chain's time is unknown", () => {
    const bench = new Bench();
    const host = bench.start({ chainSeconds: () => null });
    bench.link(true);
    bench.deliver("offer", sealJson(TAGGER, "offer", exactTerms(bench.offerMessage())));
    expect(bench.pays()).toHaveLength(0);
    expect(host.counters.heldBack).toBe(1);
  });
});

describe("a host that stops", () => {
  it("darkens the lamp, stores its last checkpoint, says goodbye and closes, in this order", async () => {
    const bench = new Bench();
    const host = linked(bench);
    bench.grant(TAG, 100, 500);
    bench.did.length = 0;
    await Promise.all([host.stop(), host.stop()]);
    expect(bench.did.map((one) => (one.did === "publish" ? one.leaf : one.did))).toEqual([
      "lamp",
      "store",
      "state",
      "close",
    ]);
    expect(bench.did[0]).toMatchObject({ levelPercent: 0 });
    expect(bench.messages("state").at(-1)).toMatchObject({ status: "lost", levelPercent: 0 });
    expect(bench.stored!.channels[0]).toMatchObject({ id: CHANNEL_ID, signed: 100, granted: 500 });
  });

  it("waits for the store under way, and rejects when the last one fails", async () => {
    const bench = new Bench();
    const late: ((error: string | null) => void)[] = [];
    const host = bench.start();
    bench.storing = (done) => void late.push(done);
    bench.link(true);
    bench.offer();
    const stopped = host.stop();
    expect(late).toHaveLength(1);
    bench.storing = "disk full";
    late[0]!(null);
    await expect(stopped).rejects.toThrow("the last checkpoint was not stored: disk full");
    expect(bench.did.at(-1)).toEqual({ did: "close" });
    expect(bench.pays()).toHaveLength(0);
  });

  it("takes up again where it stopped: same ladder, credit kept, nothing signed below", async () => {
    const bench = new Bench();
    const first = linked(bench);
    bench.grant(TAG, 100, 500);
    bench.clock.advance(5000);
    await first.stop();
    const second = bench.start();
    bench.link(true);
    bench.offer({ charged: 100, granted: 500 });
    expect(second.state().levelPercent).toBe(100);
    bench.clock.advance(30_000);
    const rungs = bench.pays().map((pay) => pay.maxClaimable);
    expect([...new Set(rungs)]).toEqual([100, 200]);
  });
});

describe("a host whose meter is silent", () => {
  it("starts dark, says so, and takes up when the meter speaks", () => {
    const bench = new Bench();
    bench.silentMeter = true;
    const host = linked(bench);
    expect(host.state().meterRefusal).toBe("meter-silent");
    expect(bench.pays()).toHaveLength(0);
    bench.silentMeter = false;
    bench.clock.advance(60_000);
    expect(host.state().meterRefusal).toBeNull();
    expect(bench.pays().length).toBeGreaterThan(0);
  });

  it("does not wait for ever for one that never answers", () => {
    const bench = new Bench();
    const host = bench.start({ meter: { read: () => {} } });
    bench.clock.advance(PORT_ANSWER_MS + 1);
    expect(host.state().meterRefusal).toBe("meter-silent");
  });
});
