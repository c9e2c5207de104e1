/**
 * The shape of a stored checkpoint.
 *
 * Promise: what passes is a Checkpoint to the last member; a record written by something else, or by
 * another version, is named and refused rather than half understood.
 */

import { z } from "zod";
import type { Checkpoint } from "#core/events";
import { COUNTER_MAX } from "#core/units";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";

const counter = z.int().min(0).max(COUNTER_MAX);
const signed = z.int().min(-COUNTER_MAX).max(COUNTER_MAX);
const ADDRESS = z.string().regex(/^0x[0-9a-f]{40}$/);
const CHANNEL_ID = z.string().regex(/^0x[0-9a-f]{64}$/);

const CHECKPOINT = z.strictObject({
  register: z.strictObject({
    total: counter,
    /** -1 before the meter's first reading. */
    raw: z.int().min(-1).max(COUNTER_MAX),
    epoch: counter,
    suspect: z.strictObject({ raw: counter, count: counter }).nullable(),
    left: z.strictObject({ raw: counter, total: counter }).nullable(),
  }),
  account: z
    .strictObject({
      granted: counter,
      registerAtOpen: counter,
      payee: ADDRESS.exactOptional(),
      sellers: z
        .array(z.strictObject({ payee: ADDRESS, units: signed, channels: z.array(CHANNEL_ID) }))
        .exactOptional(),
      lost: signed.exactOptional(),
    })
    .nullable(),
  channels: z.array(
    z.strictObject({
      id: CHANNEL_ID,
      charged: counter,
      signed: counter,
      reserved: counter,
      granted: counter,
      quantumAtomic: counter,
    }),
  ),
  budget: z.strictObject({
    day: counter,
    spentBefore: counter,
    signedAtStart: counter,
    token: z.string().exactOptional(),
    others: z.array(z.strictObject({ token: z.string(), day: counter, spent: counter })).exactOptional(),
  }),
});

/** Reads a record's text. Throws naming the first member that is wrong. */
export function readCheckpoint(json: string): Checkpoint {
  const { data, error } = CHECKPOINT.safeParse(parseJson(json));
  if (data !== undefined) return data;
  const first = error.issues[0]!;
  throw new Watt402Error("data-damaged", `${first.path.join(".") || "checkpoint"}: ${first.message}`);
}
