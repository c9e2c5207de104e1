/** A device's meter document, read and verified by the parser of others, and by OpenSSL. */
import { createPublicKey, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type MeterSpan, ocmfDocument } from "#market/ocmf";
import { meterDocumentsIn } from "#node/market/meter-documents";
import { fromHex } from "#payment/bytes";
import { DEVICE, STRANGER } from "./sale.ts";

const IDENTITY = { model: "a light", firmware: "1", device: DEVICE.address, meter: "SDM120 | 7" };
const span: fc.Arbitrary<MeterSpan> = fc.record({
  begin: fc.record({ register: fc.nat(2 ** 47), atSeconds: fc.constant(1_800_000_000) }),
  end: fc.record({
    register: fc.nat(2 ** 47),
    atSeconds: fc.integer({ min: 1_800_000_001, max: 1_900_000_000 }),
  }),
  termsHash: fc.constant(`0x${"ab".repeat(32)}`),
  page: fc.integer({ min: 1, max: 2 ** 40 }),
});

const directory = mkdtempSync(join(tmpdir(), "watt402-ocmf-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** SubjectPublicKeyInfo of a compressed point of secp256k1. */
function spki(publicKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("3036301006072a8648ce3d020106052b8104000a032200", "hex"), publicKey]);
}

function isVerified(text: string, publicKey: Uint8Array): boolean {
  const [payload, signature] = [text.slice(5, text.lastIndexOf("|")), text.slice(text.lastIndexOf("|") + 1)];
  const key = createPublicKey({ key: spki(publicKey), format: "der", type: "spki" });
  return verify("sha256", Buffer.from(payload), key, fromHex(`0x${JSON.parse(signature).SD}`));
}

describe("a meter document", () => {
  it("is verified by OpenSSL under the device's key alone, whatever it says", () => {
    fc.assert(
      fc.property(span, (said) => {
        const text = ocmfDocument(said, IDENTITY, (digest) => DEVICE.sign(digest));
        expect([isVerified(text, DEVICE.publicKey), isVerified(text, STRANGER.publicKey)]).toEqual([
          true,
          false,
        ]);
        expect(isVerified(text.replace(`"T${said.page}"`, '"T0"'), DEVICE.publicKey)).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  it("is a line of a file that only grows", () => {
    const file = join(directory, "meter.ocmf");
    const documents = meterDocumentsIn(file, IDENTITY, DEVICE);
    const said = fc.sample(span, 3);
    for (const one of said) documents.write(one);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => isVerified(line, DEVICE.publicKey))).toEqual([true, true, true]);
    expect(documents.isFull).toBe(false);
  });

  it("is read by the parser of others, to the last digit", async () => {
    const said = { ...fc.sample(span, 1)[0]!, page: 17 };
    const text = ocmfDocument(said, IDENTITY, (digest) => DEVICE.sign(digest));
    const others = createRequire(import.meta.url);
    const { Verifier } = others("@road-labs/ocmf");
    const { Crypto } = others("@road-labs/ocmf-crypto-noble");
    const crypto = new Crypto();
    const key = await crypto.decodeEcPublicKey(spki(DEVICE.publicKey), "spki-der");
    const { verified, value } = await new Verifier(crypto).parseAndVerify(text, key);
    expect(verified).toBe(true);
    expect(value.payloadData).toMatchObject({
      ...{
        FV: "1.0",
        PG: "T17",
        MS: DEVICE.address,
        MM: IDENTITY.meter,
        TT: `watt402 terms ${said.termsHash}`,
      },
      RD: [
        { TX: "B", RU: "kWh", RV: said.begin.register / 1e6, ST: "G" },
        { TX: "E", RU: "kWh", RV: said.end.register / 1e6, ST: "G" },
      ],
    });
  });
});
