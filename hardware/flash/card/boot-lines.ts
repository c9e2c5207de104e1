/**
 * The lines of config.txt that a meter and a lamp need: interfaces, overlays, and pins that must be quiet
 * before Linux starts.
 *
 * Promise: Raspberry Pi 3, 4 and 5 read the same lines; a lamp's pin is driven to its safe level by the
 * firmware, seconds before any program runs.
 */
import type { DriverTable, LampChoice } from "../order/part-choice.ts";

/** PL011 on GPIO 14 and 15 as /dev/ttyAMA0: on a Pi 4 Bluetooth has to give it back, on a Pi 5 it is off. */
const UART_LINES = ["enable_uart=1", "dtoverlay=disable-bt", "[pi5]", "dtparam=uart0=on", "[all]"];

/** True when a part hangs on the header's UART. */
export function usesHeaderUart(...tables: readonly DriverTable[]): boolean {
  return tables.some(({ serial }) => /^\/dev\/(ttyAMA|ttyS|serial)\d/.test(String(serial ?? "")));
}

export function bootLines(meter: DriverTable, lamp: LampChoice): string[] {
  return [
    ...meterLines(meter),
    ...lampLines(lamp),
    ...(usesHeaderUart(meter, lamp.table) ? UART_LINES : []),
    // The board restarts itself when Linux hangs.
    "dtparam=watchdog=on",
  ];
}

function meterLines({ kind, line }: DriverTable): string[] {
  if (/^(ina\d+|ade7953)$/.test(String(kind))) return ["dtparam=i2c_arm=on"];
  // An S0 output is an open collector: the board pulls it up.
  if (kind === "pulse") return [`gpio=${String(line)}=ip,pu`];
  return [];
}

function lampLines({ table, relayGpio, activeLow }: LampChoice): string[] {
  const dark = activeLow ? "dh" : "dl";
  const relay = (label: string) => [
    `gpio=${relayGpio}=op,${dark}`,
    `dtoverlay=gpio-led,gpio=${relayGpio},label=${label}${activeLow ? ",active_low=1" : ""}`,
  ];
  switch (table.kind) {
    case "led":
      return relay(String(table.label ?? "lamp"));
    case "gpio": {
      const line = /^(?:GPIO)?(\d+)$/.exec(String(table.line ?? "GPIO17"))?.[1];
      return line === undefined ? [] : [`gpio=${line}=op,${dark}`];
    }
    case "pwm":
      return pwmLines(table);
    case "analog":
      return [...pwmLines(table), ...(relayGpio === null ? [] : relay(String(table.relay_label)))];
    default:
      return [];
  }
}

/** Both PWM outputs of the pair that the pin is in; sound would take them over. */
function pwmLines({ gpio }: DriverTable): string[] {
  const pair = ["12", "13"].includes(String(gpio)) ? ",pin=12,func=4,pin2=13,func2=4" : "";
  return ["dtparam=audio=off", `dtoverlay=pwm-2chan${pair}`];
}
