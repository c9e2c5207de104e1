/**
 * DALI control gear (IEC 62386-102): addresses, levels and the few commands a street lamp needs.
 *
 * Promise: frames are exact; nothing here changes what gear stores. What gear does when its bus or its
 * mains comes back is stored in the gear itself, and is only read here.
 */

/** Forward frame of 16 bits. */
export interface ForwardFrame {
  readonly addressByte: number;
  readonly data: number;
}

/** Address byte of every gear on the bus, for a level; a command has bit 0 set. */
const BROADCAST = 0xfe;

export const QUERY_STATUS = 0x90;
export const QUERY_ACTUAL_LEVEL = 0xa0;
export const QUERY_POWER_ON_LEVEL = 0xa3;
export const QUERY_SYSTEM_FAILURE_LEVEL = 0xa4;

/** Of every gear that may be: who asks it wants to hear from the HAT. */
export const LAST_ADDRESS = 63;

/** Bit 7 of QUERY STATUS: its mains was away, and no level was set since. */
const POWER_CYCLE_SEEN = 0x80;

const LEVEL_MAX = 254;
/** MASK: keep the level there is. */
const LEVEL_MASK = 255;

/** Light of level 1 on the standard curve, per cent. */
const LOG_LEAST_PERCENT = 0.1;

/** @param address 0..63, or -1 for all */
export function levelFrame(address: number, level: number): ForwardFrame {
  return { addressByte: address < 0 ? BROADCAST : address << 1, data: level };
}

export function commandFrame(address: number, opcode: number): ForwardFrame {
  return { addressByte: (address < 0 ? BROADCAST : address << 1) | 1, data: opcode };
}

/** The arc power level of a light level: the standard's logarithmic curve, or the linear one of LED gear. */
export function arcLevel(levelPercent: number, dimming: "logarithmic" | "linear"): number {
  if (levelPercent <= 0) return 0;
  if (dimming === "linear") return Math.max(1, Math.round((levelPercent / 100) * LEVEL_MAX));
  const share = Math.log10(Math.max(LOG_LEAST_PERCENT, levelPercent) / LOG_LEAST_PERCENT) / 3;
  return Math.round(1 + share * (LEVEL_MAX - 1));
}

/** What is wrong with gear that answered QUERY STATUS so; null when nothing is. */
export function gearTrouble(status: number): string | null {
  if ((status & 0b01) !== 0) return "a failure of the control gear; replace it";
  if ((status & 0b10) !== 0) return "a failure of its lamp; check the lamp and its cable";
  return null;
}

/** True for gear that came back at the level stored in it, and not at the one it was given. */
export function hasForgotten(status: number): boolean {
  return (status & POWER_CYCLE_SEEN) !== 0;
}

/** A stored level in words. */
export function storedLevel(level: number): string {
  if (level === LEVEL_MASK) return "the level it had";
  return level === 0 ? "dark" : `level ${level} of ${LEVEL_MAX}`;
}
