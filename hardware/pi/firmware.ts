/** The version that this runtime reports to gateways: the package's own. */

import { readFileSync } from "node:fs";
import { parseJson } from "#protocol/nesting";

export function deviceFirmware(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (parseJson(text) as { version: string }).version;
}
