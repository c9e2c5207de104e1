/** The versions of OCPP that a central system speaks, each by its own file. */
import { speak2 } from "./ocpp2.ts";
import { speak16 } from "./ocpp16.ts";
import type { Dialect, DialectParts, OcppVersion } from "./ports.ts";

export function speak(version: OcppVersion, parts: DialectParts): Dialect {
  return version === "1.6" ? speak16(parts) : speak2(parts, version);
}
