/**
 * What a run looks like while it goes on: a live view on a terminal, plain lines anywhere else.
 *
 * Promise: everything goes to standard error, so that standard output holds the result alone; no phase is
 * silent for longer than some seconds.
 */
import { createLogUpdate } from "log-update";
import type { Progress } from "./recorded-evening.ts";

export interface View {
  /** A line that stays. */
  say(text: string): void;
  /** Shows what is being done, and that it still is, until the work ends. */
  during<Outcome>(text: string, work: Promise<Outcome>): Promise<Outcome>;
  /** How many lights have bought, while they connect. */
  connecting(bought: number): void;
  show(progress: Progress): void;
  /** Leaves the terminal as it is; a second call is harmless. */
  end(): void;
}

interface ViewOptions {
  readonly simulatedMs: number;
  readonly epochSeconds: number;
  readonly speed: number;
  readonly lights: number;
}

const PLAIN_EVERY_MS = 5_000;
const LIVE_EVERY_MS = 200;
const BAR_WIDTH = 40;
const RATE_WINDOW_MS = 2_000;

export function openView(stream: NodeJS.WriteStream, options: ViewOptions): View {
  return stream.isTTY && !process.env.NO_COLOR ? liveView(stream, options) : plainView(stream, options);
}

function plainView(stream: NodeJS.WritableStream, options: ViewOptions): View {
  let shownAt = 0;
  const rates = new Rates();
  const say = (text: string) => {
    stream.write(`${text}\n`);
  };
  const sometimes = (text: () => string) => {
    if (Date.now() - shownAt < PLAIN_EVERY_MS) return;
    shownAt = Date.now();
    say(text());
  };
  return {
    say,
    during(text, work) {
      say(text);
      shownAt = Date.now();
      return whileWorking(work, (seconds) => sometimes(() => `${text} (${seconds} s)`));
    },
    connecting: (bought) => sometimes(() => connectingLine(bought, options.lights)),
    show(progress) {
      rates.take(progress);
      sometimes(() => summary(progress, options, rates).join("  "));
    },
    end: () => {},
  };
}

function liveView(stream: NodeJS.WriteStream, options: ViewOptions): View {
  const update = createLogUpdate(stream, { showCursor: true });
  const rates = new Rates();
  return {
    say(text) {
      update.clear();
      stream.write(`${text}\n`);
    },
    async during(text, work) {
      update(text);
      try {
        return await whileWorking(work, (seconds) => update(seconds > 0 ? `${text} (${seconds} s)` : text));
      } finally {
        update(text);
        update.done();
      }
    },
    connecting: (bought) =>
      update(`${connectingLine(bought, options.lights)}\n${bar(bought / options.lights)}`),
    show(progress) {
      rates.take(progress);
      const done = progress.simulatedMs / options.simulatedMs;
      update(["", ...summary(progress, options, rates), bar(done)].join("\n"));
    },
    end: () => update.done(),
  };
}

async function whileWorking<Outcome>(
  work: Promise<Outcome>,
  show: (seconds: number) => void,
): Promise<Outcome> {
  const startedAt = Date.now();
  const timer = setInterval(() => show(Math.floor((Date.now() - startedAt) / 1000)), LIVE_EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

function connectingLine(bought: number, lights: number): string {
  return `${bought} of ${lights} lights have bought`;
}

function bar(share: number): string {
  const done = Math.min(1, Math.max(0, share));
  const filled = Math.round(done * BAR_WIDTH);
  return `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ${Math.round(done * 100)} %`;
}

/** Payments a second and the clock's real speed, over the last two seconds. */
class Rates {
  private readonly seen: { atMs: number; made: number; simulatedMs: number }[] = [];
  paymentsPerSecond = 0;
  speed = 0;

  take({ made, simulatedMs }: Progress): void {
    const atMs = Date.now();
    this.seen.push({ atMs, made, simulatedMs });
    while (this.seen.length > 2 && atMs - this.seen[0]!.atMs > RATE_WINDOW_MS) this.seen.shift();
    const first = this.seen[0]!;
    const realMs = Math.max(1, atMs - first.atMs);
    this.paymentsPerSecond = ((made - first.made) * 1000) / realMs;
    this.speed = (simulatedMs - first.simulatedMs) / realMs;
  }
}

function summary(progress: Progress, options: ViewOptions, rates: Rates): string[] {
  const { lit, dark, starved, offline, made, spentAtomic, consumedMilliwattHours, simulatedMs } = progress;
  const clock = new Date(options.epochSeconds * 1000 + simulatedMs).toISOString().slice(11, 19);
  const slowed = rates.speed > 0 && rates.speed < 0.9 * options.speed;
  const pace = slowed
    ? `${rates.speed.toFixed(1)}x, slowed down from ${options.speed}x`
    : `${options.speed}x`;
  return [
    `${clock} (${pace})`,
    `lights ${lit} on, ${dark} off, ${starved} starved${offline > 0 ? `, ${offline} offline` : ""}`,
    `payments ${made} (${rates.paymentsPerSecond.toFixed(0)}/s)`,
    `money $${(spentAtomic / 1e6).toFixed(6)}`,
    `energy ${(consumedMilliwattHours / 1e6).toFixed(6)} kWh`,
  ];
}
