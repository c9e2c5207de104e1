/**
 * What a load that may wait has to have each day: so much energy from a minute of the UTC day to another.
 *
 * Promise: each day's task begins at what was delivered until then, and is scored once, at its deadline, by what was delivered
 * of it; it is looked at at least each few minutes, or a part of a day counts for the next.
 */
import type { Task } from "#market/priced-plan";
import type { Flexibility } from "../../scenario/actions.ts";

const DAY_SECONDS = 86_400;

type Waiting = Extract<Flexibility, { kind: "waits" }>;

export interface TaskScore {
  required: number;
  delivered: number;
  tasks: number;
  /** Least share of one that was there in time. */
  worst: number;
}

export class DailyTask {
  readonly score: TaskScore = { required: 0, delivered: 0, tasks: 0, worst: 1 };
  readonly #units: number;
  readonly #fromSeconds: number;
  readonly #lengthSeconds: number;
  readonly #delivered: () => number;
  #day = Number.NaN;
  #deliveredAtStart = 0;
  #isScored = true;

  /** @param delayMinutes of this device, within the spread @param delivered since the world began, milliwatt-hours */
  constructor(waiting: Waiting, delayMinutes: number, delivered: () => number) {
    const { milliwattHours, fromMinute, readyByMinute } = waiting;
    this.#units = milliwattHours;
    this.#fromSeconds = 60 * (fromMinute + delayMinutes);
    const length = 60 * readyByMinute - this.#fromSeconds;
    this.#lengthSeconds = length > 0 ? length : length + DAY_SECONDS;
    this.#delivered = delivered;
  }

  now(wallSeconds: number): Task | null {
    const day = Math.floor((wallSeconds - this.#fromSeconds) / DAY_SECONDS);
    const deadlineSeconds = this.#fromSeconds + day * DAY_SECONDS + this.#lengthSeconds;
    if (day !== this.#day) {
      // A task under way when the world began is not scored.
      this.#isScored = Number.isNaN(this.#day);
      this.#day = day;
      this.#deliveredAtStart = this.#delivered();
    }
    const unitsLeft = this.#deliveredAtStart + this.#units - this.#delivered();
    if (wallSeconds >= deadlineSeconds) this.#close(unitsLeft);
    return wallSeconds < deadlineSeconds && unitsLeft > 0 ? { unitsLeft, deadlineSeconds } : null;
  }

  #close(unitsLeft: number): void {
    if (this.#isScored) return;
    this.#isScored = true;
    const share = Math.min(1, 1 - unitsLeft / this.#units);
    this.score.tasks += 1;
    this.score.required += this.#units;
    this.score.delivered += share * this.#units;
    this.score.worst = Math.min(this.score.worst, share);
  }
}
