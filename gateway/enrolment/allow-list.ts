/**
 * The file of devices that may buy: one address a line.
 *
 * Promise: one line that is no address, and the file is refused whole with the number of that line; a
 * misspelt address must not mean a dark light that nobody told of.
 */
import { readFileSync } from "node:fs";
import { isDeviceName } from "#protocol/topics";

/** Reads the file: 40 hex digits, with 0x or without, and # for comments. Throws one line. */
export function readAllowList(file: string): ReadonlySet<string> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(
      `enrolment.allowFile: ${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
  const devices = new Set<string>();
  for (const [index, line] of text.split("\n").entries()) {
    const said = line.replace(/#.*$/, "").trim();
    if (said === "") continue;
    const device = said.toLowerCase().replace(/^0x/, "");
    if (!isDeviceName(device)) {
      throw new Error(
        `enrolment.allowFile: ${file} line ${index + 1}: expected an address, 40 hex digits, found "${said.slice(0, 60)}"`,
      );
    }
    devices.add(device);
  }
  return devices;
}
