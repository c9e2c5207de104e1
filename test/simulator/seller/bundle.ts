// The utility's process as one file, so that a test that starts it many times waits for the utility and not
// for a compiler.

import { fileURLToPath } from "node:url";
import { bundleOf } from "../../gateway/processes/bundle.ts";

const ENTRY = fileURLToPath(new URL("seller-process.ts", import.meta.url));

/** Writes the bundle into `directory` and returns its path. Native parts stay where they are installed. */
export function bundleUtility(directory: string): Promise<string> {
  return bundleOf(ENTRY, directory);
}
