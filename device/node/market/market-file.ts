/**
 * What a device remembers of sellers, in a file of its own beside its journal.
 *
 * Promise: it is replaced whole, and on disk when `store` returns; a file that holds something else is named, not overwritten.
 */
import { existsSync } from "node:fs";
import { z } from "zod";
import { COUNTER_MAX } from "#core/units";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { readText } from "../config/text-file.ts";
import { writeOver } from "../journal/private-file.ts";
import { type MarketStore, NOTHING_KNOWN, REMEMBERED_MAX } from "./market-rules.ts";

const counter = z.int().min(0).max(COUNTER_MAX);
const MEMORY = z.strictObject({
  broken: z.array(z.string().regex(/^0x[0-9a-f]{40}$/)).max(REMEMBERED_MAX),
  acknowledged: z
    .array(
      z.strictObject({
        channelId: z.string().regex(/^0x[0-9a-f]{64}$/),
        ...{ charged: counter, granted: counter, register: counter, toSeconds: counter },
      }),
    )
    .max(REMEMBERED_MAX),
  documents: counter.default(0),
});

export function marketFile(file: string): MarketStore {
  return {
    load() {
      if (!existsSync(file)) return NOTHING_KNOWN;
      const read = MEMORY.safeParse(jsonIn(file));
      if (read.success) return read.data;
      throw new Watt402Error(
        "file-invalid",
        `${file}: expected what this device knows of its sellers, found something else; put its copy back, or remove it to trust all of them again`,
      );
    },
    store: (memory) => writeOver(file, JSON.stringify(memory)),
  };
}

function jsonIn(file: string): unknown {
  try {
    return parseJson(readText(file, file));
  } catch {
    return undefined;
  }
}
