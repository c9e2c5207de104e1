/** Checkpoints to store: made from a number, so that one read back shows which it was. */
import type { Checkpoint } from "#core/events";

export function checkpointOf(total: number): Checkpoint {
  const mark = {
    charged: total,
    signed: total,
    reserved: total + 1600,
    granted: 5 * total,
    quantumAtomic: 100,
  };
  return {
    register: { total, raw: total, epoch: 0, suspect: null, left: null },
    account: { granted: 5 * total, registerAtOpen: 0 },
    channels: [{ id: `0x${total.toString(16).padStart(64, "0")}`, ...mark }],
    budget: { day: 20_777, spentBefore: total, signedAtStart: 0 },
  };
}
