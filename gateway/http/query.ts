/**
 * What the API's requests may ask for.
 *
 * Promise: each parameter is written once: it is checked by this shape, and the document describes this shape.
 */
import type { FastifyReply } from "fastify";
import { z } from "zod";
import { CONDITIONS } from "../telemetry/labels.ts";

const limit = z.coerce.number().int().min(1).max(500).default(100).describe("longest page");

export const LIGHTS_QUERY = z.strictObject({
  condition: z.enum(CONDITIONS).optional(),
  search: z.string().max(64).describe("part of a device's address or name").optional(),
  after: z.coerce.number().int().min(-1).default(-1),
  limit,
});
export const PAYMENTS_QUERY = z.strictObject({
  channel: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/, "expected 0x and 64 lower-case hex digits")
    .describe("channel or exact account")
    .optional(),
  after: z.coerce.number().int().min(0).default(0),
  limit,
});
export const CHANNELS_QUERY = z.strictObject({ offset: z.coerce.number().int().min(0).default(0), limit });
export const HISTORY_QUERY = z.strictObject({ span: z.enum(["seconds", "minutes"]).default("seconds") });
export const ENROLMENTS_QUERY = z.strictObject({
  state: z.enum(["pending", "approved", "refused"]).optional(),
  after: z
    .string()
    .regex(/^[0-9a-f]{0,40}$/, "expected a device's address, lower-case hex digits")
    .describe("a device: the page begins behind it")
    .default(""),
  limit,
});

/** The query as asked; null when it is wrong, and that has been answered. */
export function queryOf<Shape extends z.ZodType>(
  shape: Shape,
  query: unknown,
  reply: FastifyReply,
): z.infer<Shape> | null {
  const { data, error } = shape.safeParse(query);
  if (error === undefined) return data;
  const [issue] = error.issues;
  reply.code(400).send({ error: `${issue!.path.join(".") || "query"}: ${issue!.message}` });
  return null;
}
