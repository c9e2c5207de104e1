/**
 * The counter of a meter that forgets: counted here, kept on disk, kind to an SD card.
 *
 * Promise: what is shown never falls, power cuts included: the file always holds a mark at or above it,
 * written before the counter may pass it. After a stop in good order it goes on where it was; after a
 * power cut at the mark, so at most RESERVE_MS of the supply's full power is counted that was not used
 * (3.3 Wh on a supply of 100 W). Writes are nine tenths of that apart: at most 800 a day at full power, 240
 * in a twelve-hour night of a 60 W lamp on 100 W. A disk that fails stops the counter, and is said.
 */

import { readFileSync } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { COUNTER_MAX, energyMilliwattHours, isCounter } from "#core/units";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";

/** What one write reserves: this long at the supply's full power. */
export const RESERVE_MS = 120_000;

interface Kept {
  /** The counter never showed more, mWh. */
  readonly mark: number;
  /** True when the mark is the counter itself: stopped in good order. */
  readonly exact: boolean;
  /** The chip's own counter when the mark was exact, where it keeps one over a restart of the process. */
  readonly chip: number | null;
}

export class KeptCounter {
  readonly #file: string | null;
  readonly #reserve: number;
  #counted: number;
  #mark: number;
  #writing: Promise<void> | null = null;
  #fault: string | null = null;
  readonly chip: number | null;

  /**
   * @param file where it is kept; null keeps it in memory only
   * @throws one line when the file is there and no counter
   */
  constructor(file: string | null, powerMaxMilliwatts: number) {
    this.#file = file;
    this.#reserve = Math.max(1, Math.ceil(energyMilliwattHours(powerMaxMilliwatts, RESERVE_MS)));
    const kept = file === null ? null : readKept(file);
    this.#counted = kept?.mark ?? 0;
    this.#mark = file === null ? COUNTER_MAX : this.#counted;
    this.chip = kept?.chip ?? null;
  }

  /** Counts; fractions of a milliwatt-hour are kept. */
  add(milliwattHours: number): void {
    this.#counted = Math.min(COUNTER_MAX, this.#counted + milliwattHours);
    if (milliwattHours > 0) this.#raiseWhenLow();
  }

  /** Whole milliwatt-hours; never above what the disk has reserved. */
  shown(): number {
    return Math.floor(Math.min(this.#counted, this.#mark));
  }

  /** Why the counter does not advance, or null. */
  trouble(): string | null {
    return this.#counted > this.#mark ? this.#fault : null;
  }

  /** Resolves when no write is under way. */
  async settled(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Stores the counter itself, so that nothing is counted twice. @param chip see `Kept.chip` */
  async close(chip: number | null = null): Promise<void> {
    await this.settled();
    if (this.#file === null) return;
    const mark = Math.ceil(this.#counted);
    await write(this.#file, { mark, exact: true, chip }).catch(() => {});
  }

  #raiseWhenLow(): void {
    if (this.#file === null || this.#writing !== null) return;
    if (this.#mark - this.#counted >= this.#reserve / 10) return;
    const mark = Math.min(COUNTER_MAX, Math.floor(this.#counted) + this.#reserve);
    this.#writing = write(this.#file, { mark, exact: false, chip: null }).then(
      () => {
        this.#mark = mark;
        this.#fault = null;
        this.#writing = null;
        // More may have been counted meanwhile than this write reserved.
        this.#raiseWhenLow();
      },
      (error: NodeJS.ErrnoException) => {
        this.#fault =
          `${this.#file}: expected to store the meter's counter, found ${error.code ?? error.message}; ` +
          "free or repair the disk";
        this.#writing = null;
      },
    );
  }
}

function readKept(file: string): Kept | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new Watt402Error(
      "file-inaccessible",
      `${file}: expected a readable counter file, found ${(error as NodeJS.ErrnoException).code}`,
    );
  }
  const kept = parse(text);
  if (kept === null) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: expected the meter's counter, found ${JSON.stringify(text.slice(0, 40))}; ` +
        "remove the file to begin again at 0",
    );
  }
  return kept;
}

function parse(text: string): Kept | null {
  try {
    const { mark, exact, chip } = parseJson(text) as Partial<Kept>;
    if (!isCounter(mark) || typeof exact !== "boolean") return null;
    return { mark, exact, chip: typeof chip === "number" ? chip : null };
  } catch {
    return null;
  }
}

/** A new file beside the old one, durable before it replaces it. */
async function write(file: string, kept: Kept): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = await open(`${file}.new`, "w", 0o600);
  try {
    await draft.writeFile(`${JSON.stringify(kept)}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await rename(`${file}.new`, file);
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
