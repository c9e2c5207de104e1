import { describe, expect, it } from "vitest";
import { judge, type Lie } from "#market/judge";
import { judgeHonest, judgeLying, LIES } from "./judged.ts";
import { CHANNEL, DEVICE, evidenceOf, receiptsOf, SELLER, STRANGER, signedBy, termsOf } from "./sale.ts";

const RUNS = 10;

describe("an honest seller", () => {
  it("is never convicted, whichever documents are held back, in whatever order, whatever strangers add", () => {
    expect(judgeHonest(RUNS)).toBe(RUNS);
  });

  it("is held to no receipt but its own, and what lacks a signature is said to be missing", () => {
    const made = {
      terms: [termsOf()],
      sales: [{ atSeconds: 1_800_000_010, charged: 50 }],
      receiptsAt: [1_800_000_020],
    };
    const [own] = receiptsOf(made);
    const unsigned = { ...own!, device: null };
    const { missing, countersigned } = judge(evidenceOf(made, { receipts: [unsigned, own!] }));
    expect(missing).toEqual([`receipt of ${CHANNEL} at 1800000020: the device's signature`]);
    expect(countersigned).toBe(1);
    const byAnother = judge(evidenceOf(made, { receipts: [signedBy(own!.receipt, STRANGER)] }));
    expect(byAnother.missing[0]).toContain(`a signature of ${SELLER.address} or of a key that is given`);
    const key = { payTo: SELLER.address, key: STRANGER.address };
    const pinned = evidenceOf(made, { receipts: [signedBy(own!.receipt, STRANGER)], sellersKeys: [key] });
    expect(judge(pinned).missing).toEqual([]);
  });
});

describe("a lying seller", () => {
  it.each(Object.keys(LIES) as Lie[])("is convicted of %s, every time", (lie) => {
    expect(judgeLying(lie, RUNS)).toBeGreaterThanOrEqual(RUNS);
  });
});

describe("what both have signed", () => {
  const made = {
    terms: [termsOf()],
    sales: [{ atSeconds: 1_800_000_010, charged: 50 }],
    receiptsAt: [1_800_000_020, 1_800_000_030],
  };

  it("stands for both: the latest of a channel is what neither can deny, whatever came unsigned after it", () => {
    const [first, second] = receiptsOf(made);
    const later = { ...second!, device: null };
    const { acknowledged, countersigned } = judge(evidenceOf(made, { receipts: [later, first!] }));
    const { channelId, charged, granted, register, toSeconds } = first!.receipt;
    expect(acknowledged).toEqual([{ channelId, charged, granted, register, toSeconds }]);
    expect(countersigned).toBe(1);
  });

  it("convicts a device whose register fell by its own signatures, and none whose signature is missing", () => {
    const [first, second] = receiptsOf(made);
    const fell = signedBy({ ...second!.receipt, register: first!.receipt.register - 1 });
    const { devices, convictions } = judge(evidenceOf(made, { receipts: [fell, first!] }));
    expect(devices).toEqual([
      {
        lie: "register-fell",
        device: DEVICE.address,
        channelId: CHANNEL,
        text: expect.stringMatching(/^a register of/),
      },
    ]);
    expect(convictions).toEqual([]);
    const unsigned = { ...fell, device: null };
    expect(judge(evidenceOf(made, { receipts: [unsigned, first!] })).devices).toEqual([]);
  });
});
