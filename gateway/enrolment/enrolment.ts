/**
 * Which devices may buy: by the operator's decision on each, else by the mode of the configuration.
 *
 * Promise: no socket, file or clock; what the operator decided of a device holds in every mode and after
 * every restart, in all gateways on one ledger, within seconds and without a restart. Devices that wait for
 * approval are bounded.
 */
import type { Read } from "../purchase/ports.ts";

/** "refused": it does not even log in where the broker is the gateway's own. */
export type EnrolmentState = "enrolled" | "pending" | "refused";

/** What the ledger remembers of a device's enrolment. */
export interface EnrolmentRecord {
  readonly device: string;
  readonly state: "pending" | "approved" | "refused";
  /** Unix seconds of its first hello; 0 when the operator decided before. */
  readonly askedSeconds: number;
  /** Unix seconds; 0 while it waits. */
  readonly decidedSeconds: number;
  /** Rises with every change of any device. */
  readonly revision: number;
}

export type Decision = "approved" | "refused";

/** Durable memory of enrolments; a write's promise resolves when it would survive a power cut. */
export interface Enrolments {
  enrolment(device: string): Read<EnrolmentRecord | null>;
  /** In the order of their devices, beyond `after`, at most `limit`; `state` null means all. */
  enrolments(
    state: EnrolmentRecord["state"] | null,
    after: string,
    limit: number,
  ): Read<readonly EnrolmentRecord[]>;
  /** Changes beyond a revision, oldest first. */
  enrolmentsSince(revision: number, limit: number): Read<readonly EnrolmentRecord[]>;
  pendingCount(): Read<number>;
  /** Lets an unknown device wait for approval; what is known of it stays. Null: too many wait already. */
  awaitApproval(device: string, atSeconds: number, pendingMax: number): Promise<EnrolmentRecord | null>;
  decideEnrolment(device: string, decision: Decision, atSeconds: number): Promise<EnrolmentRecord>;
}

interface EnrolmentOptions {
  readonly mode: "open" | "allow-list" | "pending";
  readonly pendingMax: number;
  readonly ledger: Pick<Enrolments, "enrolment" | "awaitApproval">;
  /** Devices of the allow-list as last read. */
  readonly allowed: () => ReadonlySet<string>;
  /** Unix seconds. */
  readonly now: () => number;
}

export interface Enrolment {
  /** The state of a device; nothing is stored. */
  state(device: string): Promise<EnrolmentState>;
  /** As above, of a device that proved its key and asks to buy: from now on it waits for approval. */
  ask(device: string): Promise<EnrolmentState>;
}

export function openEnrolment({ mode, pendingMax, ledger, allowed, now }: EnrolmentOptions): Enrolment {
  async function state(device: string): Promise<EnrolmentState> {
    const known = await ledger.enrolment(device);
    if (known?.state === "refused") return "refused";
    if (known?.state === "approved" || mode === "open" || allowed().has(device)) return "enrolled";
    return mode === "pending" ? "pending" : "refused";
  }

  return {
    state,
    async ask(device) {
      const found = await state(device);
      if (found !== "pending") return found;
      const waits = await ledger.awaitApproval(device, Math.floor(now()), pendingMax);
      return waits === null ? "refused" : "pending";
    },
  };
}
