/**
 * The configuration that a freshly installed package has: the sample, with no gateway in it.
 *
 * Promise: a light whose owner has not named his gateway yet says so and does not start, rather than
 * look for the sample's.
 */

import { Watt402Error } from "#payment/watt402-error";

/** What an owner must fill in: these keys of the sample's `[gateway]` table are made comments. */
const OWNERS_KEYS = ["broker", "public_key"];

/** Throws when the sample has not each of the owner's keys exactly once. */
export function firstConfiguration(sample: string): string {
  return OWNERS_KEYS.reduce((text, key) => {
    const lines = new RegExp(`^${key} = `, "gm");
    const found = text.match(lines)?.length ?? 0;
    if (found !== 1) {
      throw new Watt402Error(
        "config-invalid",
        `device.sample.toml: expected one line "${key} = ...", found ${found}; name it in here`,
      );
    }
    return text.replace(lines, `# ${key} = `);
  }, sample);
}
