/**
 * The device as a service: started, reported to systemd, and stopped.
 *
 * Promise: SIGTERM and SIGINT leave the load at its safe level and end with 0, and within 5 s whatever hangs: what
 * could not be done then is the last line, and the end is 1. An uncaught exception leaves the load there
 * too and ends with 1 (node/process-guard.ts says what is survived). A load that ends by itself ends the device.
 */

import type { Clock } from "#core/ports";
import type { DeviceConfig } from "#node/config/device-config";
import { guardProcess } from "#node/process-guard";
import { deviceLogger } from "./device-log.ts";
import { type Light, startLight } from "./light.ts";
import type { Parts } from "./meter-and-lamp.ts";
import { notifyServiceManager } from "./service-manager.ts";
import type { Status } from "./status/status.ts";

/** Longest stop, milliseconds: somewhat above what light.ts gives its parts. */
const STOP_MS = 4500;

/** A load that this process starts itself, and that may end. */
export interface OwnLoad {
  parts(config: DeviceConfig, clock: Clock): Parts;
  /** The exit code of a load that ended by itself. */
  readonly ended: Promise<number>;
  /** What is to be done while it may still run: resolves at once where it has ended. */
  leave(): Promise<void>;
  /** After the light has stopped. @param status as it was then */
  close(status: Status): Promise<void>;
}

/** @param own what is metered and switched in the place of the configured meter and lamp */
export function runLight(
  config: DeviceConfig,
  complain: (error: unknown) => void,
  own: OwnLoad | null = null,
): void {
  const log = deviceLogger(own === null ? process.stdout : process.stderr);
  let stopping = false;
  const stop = (end: () => void) => {
    if (stopping) return;
    stopping = true;
    manager.stopping();
    manager.close();
    setTimeout(() => {
      console.error(`watt402-device: expected to stop within ${STOP_MS} ms, found a part that hangs`);
      process.exit(1);
    }, STOP_MS);
    stopInTurn(light, own).then(end, (error: unknown) => {
      complain(error);
      process.exit(1);
    });
  };
  const stopInOrder = (signal: string) => {
    if (!stopping) log.info({ signal }, "stopping");
    stop(() => process.exit(0));
  };
  // Before the lamp is lit. The start is one piece: a signal that comes meanwhile finds the light whole.
  process.on("SIGTERM", stopInOrder);
  process.on("SIGINT", stopInOrder);
  const light: Light = startLight(config, log, own === null ? undefined : own.parts);
  const manager = notifyServiceManager({
    isAlive: () => light.isAdvancing(),
    status: () => oneLine(light.status()),
    onTrouble: (text) => log.warn({ reason: text }, "trouble"),
  });
  guardProcess({
    survived: (what, error) => log.warn({ reason: String(error) }, what),
    end(error) {
      complain(error);
      stop(() => process.exit(1));
    },
  });
  own?.ended.then(
    (code) => stop(() => process.exit(code)),
    (error: unknown) => {
      complain(error);
      stop(() => process.exit(1));
    },
  );
  manager.ready();
}

async function stopInTurn(light: Light, own: OwnLoad | null): Promise<void> {
  if (own === null) return light.stop();
  await own.leave();
  // What it used until now belongs to this run's account.
  light.look();
  try {
    await light.stop();
  } finally {
    await own.close(light.status());
  }
}

/** For `systemctl status`. */
function oneLine({ lamp, credit, unit, linkUp, refusal, troubles }: Status): string {
  const [trouble] = troubles;
  return [
    `lamp ${lamp.levelPercent} %${lamp.starved ? ", starved" : ""}`,
    `credit ${credit} ${unit}`,
    linkUp ? "connected" : "not connected",
    ...(refusal === null ? [] : [refusal]),
    ...(trouble === undefined ? [] : [trouble.text]),
  ].join("; ");
}
