/**
 * The real interpreter, when the environment variable ESPRUINO names its Linux build; said loudly when not.
 *
 * A directory is a board's flash. Killing the process is a power cut; starting it again without a script boots
 * what is stored as `.bootcde`.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const ESPRUINO = process.env.ESPRUINO;
if (!ESPRUINO)
  process.stderr.write("\n*** ESPRUINO is not set: board code is NOT run in the interpreter ***\n");

const UNCAUGHT = 'process.on("uncaughtException",function(e){print("@@UNCAUGHT "+e);quit();});\n';

export interface Run {
  /** Lines the script printed behind @@, in order. */
  readonly marks: readonly string[];
  /** An exception, or the pool of variables was exhausted. */
  readonly broken: boolean;
}

/**
 * Runs a script, or boots; ends when the script does, or prints @@END, or after the given time.
 * @param script null to boot
 */
export function interpret(directory: string, script: string | null, timeoutMs = 60_000): Promise<Run> {
  if (script !== null) writeFileSync(join(directory, "script.js"), UNCAUGHT + script);
  return new Promise((resolve, reject) => {
    // Input stays open: at its end the console would be flooded.
    const child = spawn(ESPRUINO!, script === null ? [] : ["script.js"], {
      cwd: directory,
      stdio: ["pipe", "pipe", "ignore"],
    });
    let text = "";
    const overdue = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.stdout.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
      if (/@@END\r?\n/.test(text)) child.kill("SIGKILL");
    });
    child.on("error", reject).on("close", () => {
      clearTimeout(overdue);
      // An exception echoes the source line: a mark counts at the beginning of a line only.
      const lines = text.split("\n").flatMap((line) => MARK.exec(line)?.[1] ?? []);
      resolve({ marks: lines, broken: /Uncaught|UNCAUGHT|OUT OF MEMORY/.test(text) });
    });
  });
}

const ESCAPE = String.fromCharCode(27);
export const MARK = new RegExp(`^[>\\r\\s]*(?:${ESCAPE}\\[J)?@@(.*?)\\r?$`);
