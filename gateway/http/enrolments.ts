/**
 * Enrolments under /api/v1: which devices wait for approval, were approved or refused.
 *
 * Promise: reads only; decisions are made by `watt402-gateway devices`.
 */
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Enrolments } from "../enrolment/enrolment.ts";
import type { Answer } from "./answers.ts";
import { ENROLMENTS_QUERY, queryOf } from "./query.ts";

export function registerEnrolments(app: FastifyInstance, ledger: Pick<Enrolments, "enrolments">): void {
  app.get("/api/v1/enrolments", async (request, reply): Promise<Answer<"Enrolments"> | FastifyReply> => {
    const query = queryOf(ENROLMENTS_QUERY, request.query, reply);
    if (query === null) return reply;
    const { state, after, limit } = query;
    const found = await ledger.enrolments(state ?? null, after, limit);
    return {
      enrolments: found.map(({ revision: _, ...enrolment }) => enrolment),
      next: found.length < limit ? null : found.at(-1)!.device,
    };
  });
}
