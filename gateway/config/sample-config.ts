/**
 * The commented sample that `--init` writes: gateway.sample.toml, as it lies beside this file.
 */
import { readFileSync } from "node:fs";

/** Read when it is asked for, for a bundle of the gateway has no such file beside it. */
export function sample(): string {
  return readFileSync(new URL("./gateway.sample.toml", import.meta.url), "utf8");
}
