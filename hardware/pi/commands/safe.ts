/**
 * `watt402-device safe`: brings the lamp to its safe level with nothing else running.
 *
 * Promise: what a killed runtime left lit is lit no longer than it takes to start this; the service's
 * ExecStopPost runs it. It leaves a running device alone.
 */

import { systemClock } from "#node/clock";
import type { DeviceConfig } from "#node/config/device-config";
import { Watt402Error } from "#payment/watt402-error";
import { chargerTable, openLampOf } from "../meter-and-lamp.ts";
import { safeLevelPercent } from "../safe-level.ts";
import { askStatus } from "../status/status-socket.ts";

export async function safeCommand(config: DeviceConfig): Promise<number> {
  const status = await askStatus(config.statusSocket);
  if (status !== null) {
    throw new Watt402Error(
      "in-use",
      `${config.statusSocket}: expected no running device, found process ${status.pid}; it keeps the lamp safe itself`,
    );
  }
  if (chargerTable(config) !== null) {
    console.log(
      "charge point: ends by itself when what was paid could be used up; nobody is here to tell it more",
    );
    return 0;
  }
  const clock = systemClock();
  const { lamp } = openLampOf(config, clock);
  const levelPercent = safeLevelPercent(config, clock.wallSeconds());
  lamp.set(levelPercent);
  await lamp.close();
  const trouble = lamp.trouble();
  if (trouble !== null) throw new Watt402Error("unreachable", trouble);
  console.log(`${lamp.name}: ${levelPercent} %`);
  return 0;
}
