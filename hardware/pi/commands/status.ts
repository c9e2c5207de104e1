/** `watt402-device status`: what the running device does; exit code 1 when none runs. */

import type { DeviceConfig } from "#node/config/device-config";
import { Watt402Error } from "#payment/watt402-error";
import { askStatus } from "../status/status-socket.ts";
import { statusInWords } from "../status/status-words.ts";

export async function statusCommand(config: DeviceConfig, asJson: boolean): Promise<number> {
  const status = await askStatus(config.statusSocket);
  if (status === null) {
    throw new Watt402Error(
      "unreachable",
      `${config.statusSocket}: expected a running device, found none; ` +
        "start it with `systemctl start watt402-device`, or see `watt402-device doctor`",
    );
  }
  console.log(asJson ? JSON.stringify(status) : statusInWords(status));
  return 0;
}
