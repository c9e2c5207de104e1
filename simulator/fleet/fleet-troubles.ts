/**
 * What goes wrong on many lights at once, reported once.
 *
 * Promise: the first light with a trouble is reported at once; the others with the same trouble are
 * counted and reported together, at most once in some seconds, however many they are.
 */

const REPORT_EVERY_MS = 5_000;

/** Different troubles remembered; beyond it the oldest is new again. */
const KINDS_MAX = 32;

interface Kind {
  reportedAtMs: number;
  readonly lights: Set<string>;
}

export class Troubles {
  private readonly kinds = new Map<string, Kind>();
  private readonly say: (text: string) => void;
  private readonly nowMs: () => number;

  /** @param nowMs real time, monotonic */
  constructor(say: (text: string) => void, nowMs: () => number) {
    this.say = say;
    this.nowMs = nowMs;
  }

  take(light: string, text: string): void {
    const kindName = text.replaceAll(/0x[0-9a-f]{40}/gi, "0x…");
    const kind = this.kinds.get(kindName);
    if (kind === undefined) {
      if (this.kinds.size >= KINDS_MAX) this.kinds.delete(this.kinds.keys().next().value!);
      this.kinds.set(kindName, { reportedAtMs: this.nowMs(), lights: new Set() });
      this.say(`${light}: ${text}`);
      return;
    }
    kind.lights.add(light);
    if (this.nowMs() - kind.reportedAtMs < REPORT_EVERY_MS) return;
    const { size } = kind.lights;
    this.say(`${size === 1 ? light : `${size} lights`}: ${kindName}`);
    kind.reportedAtMs = this.nowMs();
    kind.lights.clear();
  }
}
