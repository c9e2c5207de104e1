/**
 * The API's description, OpenAPI 3.1, generated from the shapes of answers and queries: served at
 * /api/v1/openapi.json.
 *
 * Promise: no member or parameter is written here; paths, summaries and statuses are.
 */
import { z } from "zod";
import { ANSWERS } from "./answers.ts";
import { CHANNELS_QUERY, ENROLMENTS_QUERY, HISTORY_QUERY, LIGHTS_QUERY, PAYMENTS_QUERY } from "./query.ts";

type Schema = Readonly<Record<string, unknown>>;
type AnswerName = keyof typeof ANSWERS;

const refOf = (name: string) => `#/components/schemas/${name}`;

/** A value or null in one schema, as readers of such documents expect it, instead of a choice of two. */
function joinNull({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  const [value, none, ...others] = jsonSchema.anyOf ?? [];
  if (value?.type === undefined || none?.type !== "null" || others.length > 0) return;
  delete jsonSchema.anyOf;
  Object.assign(jsonSchema, value, { type: [value.type, "null"] });
  if (value.enum !== undefined) jsonSchema.enum = [...value.enum, null];
}

function plain({ $schema: _, $id: _id, ...schema }: Schema): Schema {
  return schema;
}

function schemas(): Readonly<Record<string, Schema>> {
  const registry = z.registry<{ id: string }>();
  for (const [id, shape] of Object.entries(ANSWERS)) registry.add(shape, { id });
  const made = z.toJSONSchema(registry, { uri: refOf, override: joinNull }).schemas;
  return Object.fromEntries(Object.entries(made).map(([id, schema]) => [id, plain(schema)]));
}

function json(description: string, name: AnswerName): Schema {
  return { description, content: { "application/json": { schema: { $ref: refOf(name) } } } };
}

function parametersOf(query: z.ZodObject): readonly Schema[] {
  const { properties = {} } = z.toJSONSchema(query, { io: "input" });
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", schema }));
}

const device: Schema = {
  name: "device",
  in: "path",
  required: true,
  schema: plain(z.toJSONSchema(ANSWERS.Light.shape.device)),
};

function get(summary: string, name: AnswerName, query?: z.ZodObject, isOfDevice = false): Schema {
  const parameters = [...(isOfDevice ? [device] : []), ...(query ? parametersOf(query) : [])];
  const others = parameters.length > 0 ? { "400": json("A wrong query", "Error") } : {};
  const missing = isOfDevice ? { "404": json("Not heard of", "Error") } : {};
  const responses = { "200": json(summary, name), ...others, ...missing, "401": json("No token", "Error") };
  return { get: { summary, parameters, responses } };
}

export const OPENAPI = {
  openapi: "3.1.0",
  info: {
    title: "watt402 gateway",
    version: "1",
    description:
      "What the gateway sees of its fleet. Read-only. Amounts are integers in atomic units of the token; energies in metered units.",
  },
  security: [{}, { token: [] }],
  paths: {
    "/livez": get("The process runs", "Live"),
    "/readyz": {
      get: {
        summary: "The gateway can take payments; 503 and the reasons while it cannot",
        responses: { "200": json("Ready", "Ready"), "503": json("Not ready", "Ready") },
      },
    },
    "/version": get("Program and version", "Version"),
    "/metrics": {
      get: {
        summary: "Numbers for Prometheus",
        responses: { "200": { description: "Text format", content: { "text/plain": {} } } },
      },
    },
    "/api/v1/fleet": get("The fleet as it is now", "Fleet"),
    "/api/v1/sellers": get("The sellers, the most wanted first", "Sellers"),
    "/api/v1/prices": get("Prices ahead, of the sellers that publish them", "Prices"),
    "/api/v1/prices/{seller}/evcc": {
      get: {
        summary:
          "The same of one seller of energy, as a forecast for evcc's custom tariff: whole tokens per kWh",
        parameters: [{ name: "seller", in: "path", required: true, schema: { type: "string" } }],
        responses: {
          "200": json("Steps that follow each other", "EvccRates"),
          "401": json("No token", "Error"),
          "404": json("No such seller, or none that sells energy", "Error"),
        },
      },
    },
    "/api/v1/duty": get("Who of several gateways takes which payments", "Duty"),
    "/api/v1/history": get("The fleet over time, oldest first", "History", HISTORY_QUERY),
    "/api/v1/lights": get("Lights, in the order of being heard first", "Lights", LIGHTS_QUERY),
    "/api/v1/lights/{device}": get("One light", "Light", undefined, true),
    "/api/v1/lights/{device}/payments": get(
      "Its payments, lowest cumulative amount first",
      "Payments",
      PAYMENTS_QUERY,
      true,
    ),
    "/api/v1/lights/{device}/deposits": get("Deposits into its channel", "Deposits", undefined, true),
    "/api/v1/enrolments": get(
      "Devices that wait for approval, or were decided on, by address",
      "Enrolments",
      ENROLMENTS_QUERY,
    ),
    "/api/v1/channels": get("Channels, those that run out first, first", "Channels", CHANNELS_QUERY),
    "/api/v1/events": {
      get: {
        summary:
          "Server-sent events: fleet (the summary), born and lights (rows of arrays, columns in gateway/http/light-rows.ts), frames (decoded messages, when asked for)",
        parameters: [
          { name: "frames", in: "query", schema: { type: "string", description: "all, or a device" } },
        ],
        responses: { "200": { description: "A stream", content: { "text/event-stream": {} } } },
      },
    },
  },
  components: { schemas: schemas(), securitySchemes: { token: { type: "http", scheme: "bearer" } } },
};
