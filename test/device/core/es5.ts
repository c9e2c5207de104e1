/**
 * The device's files where a board's language ends: run in a context from which everything is taken that
 * Espruino lacks.
 */
import { createContext, runInContext } from "node:vm";
import { TAKE_AWAY } from "#simulator/hardware/simulated-board";

/**
 * Runs a bundle where nothing exists that a board lacks; returns a way to call its functions by JSON.
 * @param firmware what the board's firmware adds, as globals
 */
export function runWithout(
  bundle: string,
  firmware: Readonly<Record<string, unknown>> = {},
): (call: string, ...args: unknown[]) => unknown {
  const context = createContext(Object.assign(Object.create(null), firmware));
  runInContext(TAKE_AWAY, context);
  // The core may not even promise: hosts call it and are called.
  runInContext("delete this.Promise", context);
  runInContext(bundle, context);
  return (call, ...args) => {
    const json = runInContext(`JSON.stringify((${call}).apply(null, ${JSON.stringify(args)}))`, context);
    return json === undefined ? undefined : JSON.parse(json as string);
  };
}
