/**
 * `watt402-device run -- COMMAND`: any command, paid for by the CPU time that it uses.
 *
 * Promise: the command runs only while there is credit and ends with this process; its standard streams are its own, and
 * what the device has to say goes to standard error. The end is a statement, and the command's own exit code.
 */
import { dirname } from "node:path";
import type { Clock } from "#core/ports";
import type { DeviceConfig } from "#node/config/device-config";
import { Watt402Error } from "#payment/watt402-error";
import { SteadyLamp } from "../../lamps/steady-lamp.ts";
import { type Command, startCommand } from "../../process/command.ts";
import { ProcessMeter, processLoad } from "../../process/process-meter.ts";
import type { OwnLoad } from "../run.ts";
import type { Status } from "../status/status.ts";

/** How long a command that is asked to end may take, milliseconds: it is killed then. */
const LEAVE_MS = 1500;

/** @param argv the command and its arguments, at least one */
export async function openCommand(config: DeviceConfig, argv: readonly string[]): Promise<OwnLoad> {
  if (config.unit !== "ms") {
    throw new Watt402Error(
      "config-invalid",
      `meter.unit: expected "ms", milliseconds of CPU time, for a command, found "${config.unit}"`,
    );
  }
  const command = await startCommand(argv);
  if (command.lacking !== null) {
    console.error(
      `watt402-device: ${command.lacking}; the command's processes are found by their environment instead`,
    );
  }
  const startedMs = performance.now();
  return {
    parts: (_config, clock) => partsOf(command, config, clock),
    ended: command.ended,
    async leave() {
      command.group.terminate();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, LEAVE_MS);
      });
      await Promise.race([command.ended, late]);
      clearTimeout(timer);
      command.group.allow(0);
    },
    async close(status) {
      const usedMs = command.group.usedMs();
      await command.close();
      for (const line of statementOf(status, usedMs, performance.now() - startedMs)) console.error(line);
    },
  };
}

function partsOf({ group }: Command, config: DeviceConfig, clock: Clock) {
  const { powerMaxMilliwatts } = config.settings.meter;
  return {
    charger: null,
    meter: new ProcessMeter(group, clock, dirname(config.journalFile), powerMaxMilliwatts),
    lamp: new SteadyLamp(processLoad(group), clock, Math.random),
  };
}

/** What the command used, and how the device's account stands behind it; a line each. */
export function statementOf(status: Status, usedMs: number, ranMs: number): string[] {
  const { channel, unit, credit, meter } = status;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(3)} s`;
  return [
    `statement of ${status.device}`,
    `  used      ${seconds(usedMs)} of CPU time in ${seconds(ranMs)}`,
    `  register  ${meter.register} ${unit}, credit ${credit} ${unit}`,
    channel === null
      ? "  charged   nothing: no channel"
      : `  charged   ${channel.charged} atomic units of ${channel.asset} on ${channel.network}, channel ${channel.id}`,
  ];
}
