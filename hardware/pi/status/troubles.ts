/**
 * What is wrong with the parts of one light at the moment, in words.
 *
 * Promise: each part has one trouble at most, the newest; the one that keeps the light dark longest comes
 * first. Nothing is remembered once it is over.
 */

/** In the order in which an installer should mend them. */
export const PARTS = ["lamp", "meter", "charger", "disk", "clock", "gateway", "broker"] as const;
export type Part = (typeof PARTS)[number];

export interface Trouble {
  readonly part: Part;
  /** Expected, found, remedy. */
  readonly text: string;
}

export class Troubles {
  readonly #texts = new Map<Part, string>();
  readonly #onChange: (part: Part, text: string | null) => void;

  /** @param onChange called once for each change */
  constructor(onChange: (part: Part, text: string | null) => void) {
    this.#onChange = onChange;
  }

  /** @param text null when all is well with the part */
  note(part: Part, text: string | null): void {
    const before = this.#texts.get(part) ?? null;
    if (before === text) return;
    if (text === null) this.#texts.delete(part);
    else this.#texts.set(part, text);
    this.#onChange(part, text);
  }

  all(): readonly Trouble[] {
    return PARTS.flatMap((part) => {
      const text = this.#texts.get(part);
      return text === undefined ? [] : [{ part, text }];
    });
  }

  /** The first of them, in one line; null when there is none. */
  first(): string | null {
    return this.all()[0]?.text ?? null;
  }
}

/** The gateway that speaks is not the one that was configured. */
export function foreignTrouble(messages: number): string {
  return (
    `gateway: expected messages of the configured gateway, found ${messages} with a wrong tag; ` +
    "compare gateway.public_key with what the gateway prints at its start"
  );
}
