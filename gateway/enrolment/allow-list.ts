/**
 * The file of devices that may buy: one address a line.
 *
 * Promise: one line that is no address, and the file is refused whole with the number of that line; a
 * misspelt address must not mean a dark light without a message.
 */

import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { isDeviceName } from "#protocol/topics";

/** A million devices, an address a line, with a remark each. */
const FILE_BYTES_MAX = 128 * 1024 * 1024;

/** Reads the file: 40 hex digits, with 0x or without, and # for comments. Throws one line. */
export function readAllowList(file: string): ReadonlySet<string> {
  const text = readText(file, `enrolment.allowFile: ${file}`, FILE_BYTES_MAX);
  const devices = new Set<string>();
  for (const [index, line] of text.split("\n").entries()) {
    const said = line.replace(/#.*$/, "").trim();
    if (said === "") continue;
    const device = said.toLowerCase().replace(/^0x/, "");
    if (!isDeviceName(device)) {
      throw new Watt402Error(
        "file-invalid",
        `enrolment.allowFile: ${file} line ${index + 1}: expected an address, 40 hex digits, found "${said.slice(0, 60)}"`,
      );
    }
    devices.add(device);
  }
  return devices;
}
