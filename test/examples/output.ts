/** What an example prints, run in this process: a program with top-level awaits, whose import ends when it does. */
import { vi } from "vitest";

/** Rejects as the program fails. */
export async function outputOf(program: () => Promise<unknown>): Promise<readonly string[]> {
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(line);
  });
  try {
    await program();
  } finally {
    log.mockRestore();
  }
  return lines;
}
