/** What a device may have stored over the general transport: its own signature under what its seller has signed, and nothing else. */
import { expect, it } from "vitest";
import { OwnDocuments } from "#gateway/purchase/general/own-documents";
import { receiptDocument, type StoredDocument } from "#market/documents";
import { termsHash } from "#market/terms-of-sale";
import { CHANNEL, DEVICE, STRANGER, signedBy, termsOf } from "../../device/market/sale.ts";

const RECEIPT = {
  ...{ channelId: CHANNEL, chainId: 84_532, charged: 100, granted: 500, register: 450 },
  ...{ toSeconds: 1_800_000_020, termsHash: termsHash(termsOf()) },
};
const unsigned = signedBy(RECEIPT, undefined, null);
const whole = signedBy(RECEIPT);

function documents() {
  const stored = new Map<string, string>();
  const save = ({ kind, name, text }: StoredDocument) => stored.set(`${kind} ${name}`, text);
  save(receiptDocument(unsigned));
  const own = new OwnDocuments({
    ledger: {
      document: (kind, name) => stored.get(`${kind} ${name}`) ?? null,
      saveDocument: async (document) => {
        save(document);
      },
    },
    channelOf: () => null,
    sourceOf: () => null,
    pricesFor: () => null,
  });
  const ask = async (
    method: "GET" | "POST" | "PUT",
    url: string,
    body: unknown,
    device: string = DEVICE.address,
  ) => {
    const request = { v: 1 as const, id: "a", method, url, body: JSON.stringify(body) };
    return (await own.answer(device.slice(2), request)).status;
  };
  return { ask, text: () => stored.get(`receipt ${receiptDocument(unsigned).name}`) };
}

it("stores a countersignature of the channel's own device, once, and tells all others why not", async () => {
  const { ask, text } = documents();
  const put = (body: unknown, device?: string) => ask("PUT", "watt402:receipt", body, device);
  expect(await put(unsigned)).toBe(400);
  expect(await put(signedBy(RECEIPT, undefined, STRANGER))).toBe(400);
  expect(await put(whole, STRANGER.address)).toBe(400);
  // The register is not in a receipt's name: it is in what the seller has signed.
  expect(await put(signedBy({ ...RECEIPT, register: 1 }))).toBe(409);
  expect(await put(signedBy({ ...RECEIPT, charged: 50 }))).toBe(409);
  expect(text()).toBe(JSON.stringify(unsigned));
  expect([await put(whole), await put(whole)]).toEqual([200, 200]);
  expect(text()).toBe(JSON.stringify(whole));
});

it("answers what it does not know, or cannot have signed, by a status of its own", async () => {
  const { ask } = documents();
  expect(await ask("GET", `watt402:terms/0x${"12".repeat(32)}`, {})).toBe(404);
  expect(await ask("GET", "watt402:terms/0x12", {})).toBe(404);
  expect(await ask("GET", "watt402:prices", {})).toBe(404);
  expect(await ask("POST", "watt402:receipt", { register: -1 })).toBe(400);
  expect(await ask("POST", "watt402:receipt", { register: 1 })).toBe(404);
});
