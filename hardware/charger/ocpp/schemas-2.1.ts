/**
 * The schemas of OCPP 2.1 under the names by which `ocpp-rpc` looks them up.
 *
 * Promise: strict mode checks 2.1 as it checks the versions before. The package keeps the alliance's own names for 2.1
 * ("urn:AuthorizeRequest") and asks for those of the older ones ("urn:Authorize.req"), so without this every call fails.
 */
import { createValidator } from "ocpp-rpc";
import schemas from "ocpp-rpc/lib/schemas/ocpp2_1.json" with { type: "json" };

interface Schema {
  readonly $id: string;
  readonly definitions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const named = (schemas as unknown as readonly Schema[]).map((schema) => ({
  ...schema,
  $id: schema.$id.replace(/Request$/, ".req").replace(/Response$/, ".conf"),
  definitions: Object.fromEntries(
    Object.entries(schema.definitions ?? {}).map(([name, definition]) => [name, quiet(definition)]),
  ),
}));

/** A word about properties on a type that has none is complained of on the console, at each first use. */
function quiet({ additionalProperties, ...definition }: Readonly<Record<string, unknown>>) {
  return definition.type === "object" ? { ...definition, additionalProperties } : definition;
}

export const OCPP_21 = createValidator("ocpp2.1", named);
