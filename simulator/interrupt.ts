/**
 * What a signal does to a run.
 *
 * Promise: the first ends the evening, which is reconciled while gateway, seller and chain answer, after SIGTERM for
 * TERM_MAX_MS at most; the second, or one before anything could be bought, leaves at once. A run that leaves says what
 * was not done, and takes its processes with it: within 5 s, whatever hangs.
 */

import { detach } from "#core/detach";
import { throwUncaught } from "#node/process-guard";

/** What there is to be looked after once lights may buy. */
export interface Bought {
  /** The name of what says nothing within the limit; null while all answer. */
  silent(limitMs: number): Promise<string | null>;
  /** What was bought so far, in words. */
  text(): string;
  /** Gateway and seller end, each as well as it can. */
  stop(): Promise<void>;
}

export interface Interrupt {
  readonly happened: () => boolean;
  /** From here on a signal no longer leaves at once. */
  lightsBuy(bought: Bought): void;
  release(): void;
}

/** What says nothing for so long hangs. */
const SILENT_MS = 2_000;
const LOOK_EVERY_MS = 500;
/** Longest reconciliation after SIGTERM, milliseconds. */
const TERM_MAX_MS = 4_000;
/** For gateway and seller to end when the run leaves. */
const LEAVE_MS = 700;

/** Of a run that was left at once, as shells report Ctrl-C. */
const LEFT_AT_ONCE = 130;

/** @param say one line that stays */
export function catchInterrupt(say: (text: string) => void): Interrupt {
  let times = 0;
  let bought: Bought | null = null;
  let deadline: NodeJS.Timeout | undefined;
  let isReleased = false;
  const onSignal = (signal: NodeJS.Signals) => {
    times++;
    if (bought === null) return end("stopped before the lights were connected; nothing was bought", 1);
    if (times > 1) return end(leftWithout(bought, "asked to leave at once"), LEFT_AT_ONCE);
    say("stopping: the lights finish what they pay for (once more to leave at once)");
    detach(leaveWhenSilent(bought), throwUncaught);
    if (signal !== "SIGTERM") return;
    const late = `not reconciled within ${TERM_MAX_MS} ms of SIGTERM`;
    deadline = setTimeout(leave, TERM_MAX_MS, bought, late);
  };
  const leaveWhenSilent = async (of: Bought) => {
    while (!isReleased) {
      const silent = await of.silent(SILENT_MS);
      if (silent !== null && !isReleased) return leave(of, `the ${silent} does not answer`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS).unref());
    }
  };
  const leave = (of: Bought, why: string) => {
    // A run that came to its result meanwhile has printed it.
    const left = () => {
      if (!isReleased) end(leftWithout(of, why), 1);
    };
    setTimeout(left, LEAVE_MS);
    detach(of.stop().then(left, left), throwUncaught);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    happened: () => times > 0,
    lightsBuy(now) {
      bought = now;
    },
    release() {
      isReleased = true;
      clearTimeout(deadline);
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}

function leftWithout(bought: Bought, why: string): string {
  return `left without a result, ${why}: ${bought.text()}; it was not reconciled, and may not be claimed`;
}

/** Listeners for "exit" remove the files and end the processes of the run. */
function end(last: string, code: number): never {
  process.stderr.write(`watt402-simulate: ${last}\n`);
  process.exit(code);
}
