/** A gateway that buys from a seller that signs its terms: what it keeps, and who is convicted by it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { main } from "#gateway/main";
import { type Documents, documentsText, readDocuments } from "#market/documents";
import { type Ground, prepareGround } from "../fixtures.ts";
import { QUANTUM, startSeller } from "../purchase/agreement.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** What the operator's command prints, and its exit code. */
async function said(...argv: readonly string[]): Promise<{ readonly text: string; readonly code: number }> {
  let text = "";
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((piece) => {
    text += String(piece);
    return true;
  });
  try {
    await main(argv);
    return { text, code: Number(process.exitCode ?? 0) };
  } finally {
    process.exitCode = 0;
    spy.mockRestore();
  }
}

it("keeps the terms that it bought under and a receipt for all that was charged, by which nobody is convicted", async () => {
  const seller = await startSeller(ground, { signsTerms: true });
  const config = ground.config(seller.url);
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(10 * QUANTUM);
  await light.stop();
  await gateway.stop();

  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const { text } = await said("ledger", "documents", light.device, "--config", file);
  const { offered, receipts, channels } = readDocuments(text, "the ledger");
  expect(offered).toHaveLength(1);
  expect(channels).toHaveLength(1);
  expect(receipts.at(-1)!.receipt.charged).toBe(light.charged());
  await seller.stop();

  const written = join(ground.directory(), "documents.json");
  writeFileSync(written, text);
  const judged = await said("verify", written, "--rpc", ground.anvil.rpcUrl);
  expect(judged).toMatchObject({ code: 0, text: expect.stringContaining("nobody is convicted") });
  // The same, but the seller had promised a tenth of its price: its key signs whatever it is made to.
  const lying = await said("verify", await cheaper({ offered, receipts, channels }), "--json");
  expect(JSON.parse(lying.text).convictions).toEqual([]);
});

/** Documents in which a price was changed by hand: no signature stands for them any more. */
async function cheaper(documents: Documents): Promise<string> {
  const offered = documents.offered.map(({ terms, offer }) => ({
    offer,
    terms: { ...terms, price: terms.price.map(([start]): [number, number] => [start, 1]) },
  }));
  const file = join(ground.directory(), "changed.json");
  writeFileSync(file, documentsText({ ...documents, offered }));
  return file;
}
