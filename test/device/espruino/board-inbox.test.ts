import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Opened } from "#host/inbox";
import { openMessage } from "#node/checked-inbox";
import { hmacSha256 } from "#node/key/native-hmac";
import { batchSettlementSeparator } from "#payment/channel";
import type { OfferMessage } from "#protocol/messages";
import { sealFrame, sealJson } from "#protocol/tag";
import { BoardInbox } from "../../../device/espruino/mqtt/board-inbox.ts";
import { createKeccak } from "../../../device/espruino/signer/keccak.ts";
import { ASSET, Bench, CHANNEL, DEVICE_KEY, SELLER, TAGGER } from "../node/fixtures.ts";

function inbox(): BoardInbox {
  return new BoardInbox({
    tagger: { hmac: hmacSha256, key: TAGGER.key },
    device: DEVICE_KEY.address,
    domainSeparator: batchSettlementSeparator(31337),
    network: "eip155:31337",
    keccak: createKeccak(),
    wake: () => {},
  });
}

function checked(
  box: BoardInbox,
  message: OfferMessage,
): { readonly opened: Opened | null; readonly slices: number } {
  let opened: Opened | null = null;
  box.open("offer", sealJson(TAGGER, "offer", message), (found) => {
    opened = found;
  });
  let slices = 0;
  while (box.step()) slices++;
  return { opened, slices };
}

const address = fc
  .uint8Array({ minLength: 20, maxLength: 20 })
  .map((bytes) => `0x${Buffer.from(bytes).toString("hex")}`);

describe("the board's inbox", () => {
  it("checks any offer as the Pi does, channel id included", () => {
    const bench = new Bench();
    const offers = fc.record({
      payer: address,
      payerAuthorizer: fc.oneof(
        { weight: 5, arbitrary: fc.constant(DEVICE_KEY.address as string) },
        { weight: 1, arbitrary: address },
      ),
      receiver: fc.oneof({ weight: 5, arbitrary: fc.constant(SELLER) }, { weight: 1, arbitrary: address }),
      token: fc.oneof({ weight: 5, arbitrary: fc.constant(ASSET) }, { weight: 1, arbitrary: address }),
      withdrawDelay: fc.integer({ min: 0, max: 4_294_967_295 }),
    });
    fc.assert(
      fc.property(offers, (changed) => {
        const message = bench.offerMessage({ channel: { ...CHANNEL, ...changed } });
        const onPi = openMessage(TAGGER, DEVICE_KEY.address, "offer", sealJson(TAGGER, "offer", message));
        expect(checked(inbox(), message).opened).toEqual(onPi);
      }),
      { numRuns: 100 },
    );
  });

  it("hashes a configuration once, in slices, and drops an offer for a newer one", () => {
    const bench = new Bench();
    const box = inbox();
    const first = checked(box, bench.offerMessage());
    expect(first.opened?.kind).toBe("offer");
    expect(first.slices).toBeGreaterThan(100);
    expect(checked(box, bench.offerMessage({ charged: 100 })).slices).toBe(0);
    const heard: string[] = [];
    const other = { ...CHANNEL, salt: `0x${"02".repeat(32)}` };
    box.open("offer", sealJson(TAGGER, "offer", bench.offerMessage({ channel: other })), () =>
      heard.push("old"),
    );
    for (let n = 0; n < 10; n++) box.step();
    const newer = bench.offerMessage({ channel: { ...CHANNEL, salt: `0x${"03".repeat(32)}` } });
    expect(checked(box, newer).opened?.kind).toBe("offer");
    expect(heard).toEqual([]);
  });

  it("refuses what it cannot check, and takes nothing that the gateway did not seal", () => {
    const bench = new Bench();
    const reported = (message: OfferMessage) => checked(inbox(), message).opened;
    const requirements = bench.offerMessage().requirements;
    expect(reported(bench.offerMessage({ requirements: { ...requirements, network: "eip155:1" } }))).toEqual({
      kind: "offer-refused",
      refusal: "network-not-allowed",
    });
    expect(
      reported(bench.offerMessage({ requirements: { ...requirements, scheme: "exact" }, channel: null })),
    ).toEqual({
      kind: "offer-refused",
      refusal: "scheme-not-allowed",
    });
    expect(reported(bench.offerMessage({ channel: null }))).toEqual({
      kind: "offer-refused",
      refusal: "channel-id-mismatch",
    });
    const kinds: string[] = [];
    const take = (opened: Opened) => kinds.push(opened.kind);
    const box = inbox();
    box.open("offer", sealJson(TAGGER, "grant", bench.offerMessage()), take);
    box.open("grant", new Uint8Array(42), take);
    box.open("grant", sealFrame(TAGGER, "grant", new Uint8Array(26)), take);
    box.open("request", new Uint8Array(3), take);
    expect(kinds).toEqual(["foreign", "foreign", "malformed", "other"]);
  });
});
