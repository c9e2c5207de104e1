/**
 * One gateway among several, as the API and the dashboard show it.
 *
 * Promise: the shape of the API's document and the type of what the gateway builds are one.
 */
import { z } from "zod";

const count = (description: string) => z.int().min(0).describe(description);

const MEMBER_STATUS = z.object({
  member: z.string().describe("one start of a gateway"),
  name: z.string().describe("as its operator calls it"),
  isSelf: z.boolean(),
  isLive: z.boolean().describe("its lease has not ended"),
  hears: z.boolean().describe("connected to the broker"),
  delivery: z.enum(["shared", "whole"]).describe("how the broker brings it messages"),
  slots: count("parts of the fleet"),
});

export const CLUSTER_STATUS = z.object({
  state: z
    .enum(["sole", "active", "standby", "lapsed"])
    .describe(
      "sole: no other gateway can be; lapsed: the lease could not be renewed in time, no payment is taken",
    ),
  leaseLeftSeconds: z
    .number()
    .min(0)
    .describe("of the lease by which payments are taken, seconds; null for a gateway alone")
    .nullable(),
  slots: count("parts of the fleet that this gateway takes the payments of"),
  slotsOfAll: count("parts there are"),
  takeovers: count("parts taken over from gateways that vanished, since the start"),
  members: z.array(MEMBER_STATUS).readonly(),
});
export type ClusterStatus = Readonly<z.infer<typeof CLUSTER_STATUS>>;
