/**
 * The program that a board is flashed with: the light, with the meter and the lamp that were ordered.
 *
 * Promise: the same order gives the same bytes; no driver of a part that is not there takes flash.
 */

import type { BoardLamp, BoardMeter } from "../parts.ts";
import { type BoardProgram, programForBoard } from "./bundle.ts";

/** By kind, the export of meters.ts that reads it. */
const METER_MAKERS: Readonly<Record<BoardMeter["kind"], string>> = {
  simulated: "simulatedMeter",
  pulse: "pulseMeter",
  hlw8012: "hlwMeter",
  cse7766: "cseMeter",
  ina219: "inaMeter",
  ina226: "inaMeter",
};

/** By kind, the export of lamps.ts that sets it. */
const LAMP_MAKERS: Readonly<Record<BoardLamp["kind"], string>> = {
  simulated: "simulatedLamp",
  relay: "relayLamp",
  pwm: "pwmLamp",
};

export function lightProgram(meter: BoardMeter["kind"], lamp: BoardLamp["kind"]): Promise<BoardProgram> {
  return programForBoard(`
    import { onConsole } from "#hardware/espruino/build/globals";
    import { ${LAMP_MAKERS[lamp]} } from "#hardware/espruino/board-lamps";
    import { main } from "#hardware/espruino/main";
    import { ${METER_MAKERS[meter]} } from "#hardware/espruino/board-meters";
    import { consoleReport } from "#hardware/espruino/console-text";
    const board = main(${METER_MAKERS[meter]}, ${LAMP_MAKERS[lamp]});
    onConsole(() => consoleReport(board));
  `);
}
