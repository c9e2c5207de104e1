/**
 * What a light says of itself on its board's console: `light()` there.
 *
 * Promise: names that stay; everything else of the program has other names on a board.
 */
import type { Board } from "../../device/espruino/board-host.ts";
import { type ConsoleReport, variablesUsed } from "./build/globals.ts";

export function consoleReport({ machine, ladder, work }: Board): ConsoleReport {
  const { account, channel, levelPercent, register } = machine.state();
  const { ladderRungs, ladderMinutes } = ladder.report() ?? { ladderRungs: 0, ladderMinutes: 0 };
  return {
    ladderRungs,
    ladderMinutes,
    signed: ladder.signed,
    failedSignatures: machine.counters.failedSignatures,
    charged: channel === null ? 0 : channel.charged,
    maxClaimable: channel === null ? 0 : channel.signed,
    granted: account === null ? 0 : account.granted,
    register: register.total,
    levelPercent,
    variables: variablesUsed(),
    longestTurnMs: work.longestMs,
  };
}
