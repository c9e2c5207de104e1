/**
 * Enrolments under /api/v1: who waits for approval, who was approved or refused.
 *
 * Promise: reads only; decisions are made by `watt402-gateway devices`.
 */
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { Enrolments } from "../enrolment/enrolment.ts";

const QUERY = z.strictObject({
  state: z.enum(["pending", "approved", "refused"]).optional(),
  /** A device: the list goes on behind it. */
  after: z
    .string()
    .regex(/^[0-9a-f]{0,40}$/, "expected a device's address, lower-case hex digits")
    .default(""),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

export function registerEnrolments(app: FastifyInstance, ledger: Pick<Enrolments, "enrolments">): void {
  app.get("/api/v1/enrolments", async (request, reply) => {
    const query = QUERY.safeParse(request.query);
    if (!query.success) {
      const [issue] = query.error.issues;
      return reply.code(400).send({ error: `${issue!.path.join(".") || "query"}: ${issue!.message}` });
    }
    const { state, after, limit } = query.data;
    const found = await ledger.enrolments(state ?? null, after, limit);
    return {
      enrolments: found.map(({ revision: _, ...told }) => told),
      next: found.length < limit ? null : found.at(-1)!.device,
    };
  });
}
