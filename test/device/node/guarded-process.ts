// A guarded process that meets what its argument names, and says what became of it.

import { writeSync } from "node:fs";
import { failureCount } from "#core/detach";
import { guardProcess } from "#node/process-guard";

const say = (line: string) => writeSync(1, `${line}\n`);
const message = (error: unknown) => (error as Error).message;

guardProcess({
  survived: (what, error) => say(`survived: ${what}: ${message(error)}`),
  end(error) {
    say(`ends: ${message(error)}, ${failureCount()} failure`);
    process.exit(7);
  },
});

const [, , what] = process.argv;
const network = (code: string) => Object.assign(new Error(what), { code, syscall: "write" });
if (what === "rejection") void Promise.reject(new Error(what));
else {
  const error =
    what === "reset" ? network("ECONNRESET") : what === "EPIPE" ? network("EPIPE") : new Error(what);
  setImmediate(() => {
    throw error;
  });
}
// Behind both: a turn of the loop later it is either gone or goes on.
setTimeout(() => say(`still here, ${failureCount()} failure`), 200);
