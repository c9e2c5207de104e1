// As the ordinary test, at every step.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { expectWholeAfterCuts } from "./cut-ledger.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

test("a ledger cut at any step of appending and folding has every acknowledged payment once", async () => {
  const newFolder = () => {
    folders.push(mkdtempSync(join(tmpdir(), "watt402-cuts-")));
    return folders.at(-1)!;
  };
  await expect(expectWholeAfterCuts(1, newFolder)).resolves.toBeUndefined();
});
