/**
 * All looks of the doctor, in the order in which an installer should mend what they find.
 *
 * Promise: beside a running device it asks that device, and disturbs neither its meter nor its connection.
 */
import type { Refusal } from "#core/refusal";
import { systemClock } from "#node/clock";
import type { DeviceConfig } from "#node/config/device-config";
import { explained } from "../status/explain.ts";
import type { Status } from "../status/status.ts";
import { askStatus } from "../status/status-socket.ts";
import type { Part } from "../status/troubles.ts";
import { checkClock, checkDisk, checkKey } from "./board.ts";
import { type Check, unknown, well, wrong } from "./check.ts";
import { checkGateway } from "./gateway-checks.ts";
import { checkLamp, checkMeter } from "./hardware.ts";

export async function examine(config: DeviceConfig): Promise<readonly Check[]> {
  const clock = systemClock();
  const disk = checkDisk(config.journalFile);
  const key = checkKey(config);
  const board = [checkClock(Date.now()), disk.check, key.check];
  let status: Status | null;
  try {
    status = await askStatus(config.statusSocket);
  } catch (error) {
    return [...board, wrong("device", (error as Error).message)];
  }
  if (status !== null) return [...board, ...asRunning(status)];
  const lamp = await checkLamp(config, clock);
  const meter = await checkMeter(config, clock);
  const gateway =
    key.key === null
      ? ["broker", "gateway", "channel"].map((name) => unknown(name, "there is no key to log in with"))
      : await checkGateway(config, key.key, disk.checkpoint, clock);
  return [...board, lamp, meter, ...gateway];
}

/** Refusals that speak of meter, lamp or disk, and not of the channel. */
const OF_A_PART: readonly Refusal[] = [
  "meter-silent",
  "meter-implausible",
  "lamp-failed",
  "load-disobeys",
  "journal-failed",
  "signer-failed",
  "clock-unset",
];

/** What a running device says of the parts that only it may touch. */
function asRunning(status: Status): Check[] {
  const trouble = (part: Part) => status.troubles.find((one) => one.part === part)?.text ?? null;
  const check = (part: Part, isWell: boolean, fine: string, otherwise: string): Check => {
    const text = trouble(part);
    if (text !== null) return wrong(part, text);
    return isWell ? well(part, `running: ${fine}`) : wrong(part, otherwise);
  };
  const { lamp, meter, channel, refusal } = status;
  const refused = refusal === null ? "" : explained(refusal);
  return [
    check(
      "lamp",
      refusal !== "lamp-failed" && refusal !== "load-disobeys",
      `${lamp.name}, ${lamp.levelPercent} % of ${lamp.wantedPercent} % wanted`,
      refused,
    ),
    check(
      "meter",
      refusal !== "meter-silent" && refusal !== "meter-implausible",
      `${meter.name}, register ${meter.register} ${status.unit}, ${meter.powerMilliwatts / 1000} W`,
      refused,
    ),
    check(
      "broker",
      status.linkUp,
      `connected to ${status.broker}`,
      `broker ${status.broker}: not connected yet`,
    ),
    check(
      "gateway",
      channel !== null,
      "its offer carried the right tag",
      "gateway: expected an offer, found none yet; check that the gateway runs and admits this device",
    ),
    channel === null
      ? unknown("channel", "no offer")
      : refusal === null || OF_A_PART.includes(refusal)
        ? well("channel", `running: ${channel.charged} of ${channel.balance} atomic units charged`)
        : wrong("channel", `channel ${channel.id.slice(0, 10)}...: ${refused}`),
  ];
}
