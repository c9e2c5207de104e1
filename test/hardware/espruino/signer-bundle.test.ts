/** The signer as a board gets it: compiled, minified, and run where the language ends where a board's does. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type BoardBundle, bundleForBoard } from "#hardware/espruino/build/bundle";
import { faultLine } from "#hardware/espruino/build/lint";
import { combTable } from "#hardware/espruino/comb-table";
import { toHex } from "#payment/bytes";
import { batchSettlementSeparator } from "#payment/channel";
import { openKey } from "#payment/key";
import { voucherDigest } from "#payment/voucher";
import { runWithout } from "../../device/core/es5.ts";
import { ESPRUINO, interpret } from "./interpreter.ts";

const CHAIN_ID = 84532;
const SECRET = new Uint8Array(32).fill(0x42);
const SEPARATOR = batchSettlementSeparator(CHAIN_ID);
const CHANNEL = new Uint8Array(32).map((_, at) => 7 * at + 1);
const AMOUNTS = [100, 296_600, 2 ** 48 - 1];
const ENTRY = [
  'export * from "#espruino/signer/voucher-signer";',
  'export { hmacOver } from "#espruino/signer/hmac";',
].join("\n");

const key = openKey(SECRET);
const wanted = AMOUNTS.map((amount) => toHex(key.sign(voucherDigest(toHex(CHANNEL), amount, CHAIN_ID))));

/** Written in the board's language: signs every amount, passes slices and signature of each to `signed`. */
const SIGN = `function (bytes, sha256, convolve, signed) {
  var signer = Signer.createVoucherSigner({
    table: bytes.table, key: new Uint8Array([${SECRET}]), domainSeparator: new Uint8Array([${SEPARATOR}]),
    hmac: Signer.hmacOver(sha256), convolve: convolve
  });
  [${AMOUNTS}].forEach(function (amount) {
    var job = signer.start(new Uint8Array([${CHANNEL}]), amount);
    var slices = 1;
    while (!job.step()) slices++;
    var text = "0x";
    var signature = job.signature();
    for (var at = 0; at < signature.length; at++) text += ("0" + signature[at].toString(16)).slice(-2);
    signed(slices, text);
  });
}`;

let bundle: BoardBundle;
beforeAll(async () => {
  bundle = await bundleForBoard(ENTRY, "Signer");
});

describe("the signer's bundle", () => {
  it("holds nothing that a board lacks or gets wrong, and is the same each time", async () => {
    expect(bundle.faults.map(faultLine)).toEqual([]);
    expect((await bundleForBoard(ENTRY, "Signer")).code).toBe(bundle.code);
  });

  it("stays below 16 kB: it shares one page of flash with the rest of the light", () => {
    expect(bundle.code.length).toBeLessThan(16_000);
  });

  it("signs as device/payment does where a board's language ends", () => {
    const firmware = {
      sha256: (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest()),
    };
    const call = runWithout(bundle.code, firmware);
    const run = `function (table) {
      var signed = [];
      (${SIGN})({ table: new Uint8Array(table) }, sha256, undefined, function (slices, text) { signed.push(text); });
      return signed;
    }`;
    expect(call(run, [...combTable()])).toEqual(wanted);
  });
});

describe.runIf(ESPRUINO)("the signer's bundle in the real interpreter", () => {
  it("boots from flash, signs the same bytes, and fits", { timeout: 120_000 }, async () => {
    const flash = mkdtempSync(join(tmpdir(), "watt402-board-"));
    const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64");
    const program = `${bundle.code}
      (function () {
        var loaded = process.memory().usage;
        var table = new Uint8Array(require("Storage").readArrayBuffer("comb"));
        var sha256 = function (bytes) { return new Uint8Array(require("crypto").SHA256(bytes)); };
        (${SIGN})({ table: table }, sha256, E.convolve, function (slices, text) { print("@@" + text); });
        print("@@" + loaded + " " + process.memory().usage);
        print("@@END");
      })();`;
    const install = `var storage = require("Storage");
      storage.write("comb", atob("${base64(combTable())}"));
      storage.write(".bootcde", atob("${base64(program)}"));
      print("@@END");`;
    try {
      expect(await interpret(flash, install)).toEqual({ marks: ["END"], broken: false });
      const { marks, broken } = await interpret(flash, null, 100_000);
      expect(broken).toBe(false);
      expect(marks.slice(0, AMOUNTS.length)).toEqual(wanted);
      const [loaded, used] = marks[AMOUNTS.length]!.split(" ").map(Number);
      // Of the 8,190 variables of an Espruino WiFi; loaded from flash, code takes next to nothing.
      expect(loaded).toBeLessThan(800);
      expect(used).toBeLessThan(2_500);
    } finally {
      rmSync(flash, { recursive: true });
    }
  });
});
