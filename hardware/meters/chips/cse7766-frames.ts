/**
 * The frames of a CSE7766: 24 bytes at 4800 baud, some twenty a second, in one direction only.
 *
 * Promise: only a frame whose head, second byte and checksum are right is handed on; after noise or a lost
 * byte the next whole frame is found. At most one frame's bytes are kept.
 */

const FRAME_BYTES = 24;
const SECOND = 0x5a;

/** Bits of the adjust byte: the cycle of that value was measured to its end. */
const POWER_READY = 0x10;
const CURRENT_READY = 0x20;
const VOLTAGE_READY = 0x40;

/** Bits of a head 0xFx: the cycle of that value was too long to measure, so the value is near zero. */
const POWER_IDLE = 0x02;
const CURRENT_IDLE = 0x04;

export type CseFrame =
  | { readonly kind: "uncalibrated" }
  /** The chip says that its storage or its measuring failed. */
  | { readonly kind: "abnormal"; readonly head: number }
  | {
      readonly kind: "values";
      /** Null where no cycle has ended yet. */
      readonly powerMilliwatts: number | null;
      readonly voltageMillivolts: number | null;
      readonly currentMilliamps: number | null;
      /** Pulses of energy, 0..65535, wrapping. */
      readonly pulses: number;
      /** Energy of one pulse: coefficient x 1e-6 watt-seconds. */
      readonly pulseMilliwattHours: number;
    };

export class CseFrames {
  #bytes = Buffer.alloc(0);
  /** Bytes that belonged to no frame: noise, or a wrong baud rate. */
  skipped = 0;

  /** The frames that are whole with these bytes. */
  take(chunk: Uint8Array): CseFrame[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const frames: CseFrame[] = [];
    while (this.#bytes.length >= FRAME_BYTES) {
      const isWhole = isFrame(this.#bytes.subarray(0, FRAME_BYTES));
      if (isWhole) frames.push(readFrame(this.#bytes.subarray(0, FRAME_BYTES)));
      else this.skipped++;
      this.#bytes = this.#bytes.subarray(isWhole ? FRAME_BYTES : 1);
    }
    return frames;
  }
}

function isFrame(bytes: Buffer): boolean {
  const head = bytes[0]!;
  if (bytes[1] !== SECOND || (head !== 0x55 && head !== 0xaa && head < 0xf0)) return false;
  const sum = bytes.subarray(2, 23).reduce((total, byte) => total + byte, 0);
  return (sum & 0xff) === bytes[23];
}

function readFrame(bytes: Buffer): CseFrame {
  const head = bytes[0]!;
  if (head === 0xaa) return { kind: "uncalibrated" };
  if (head === 0xff || (head > 0xf0 && (head & (POWER_IDLE | CURRENT_IDLE)) === 0))
    return { kind: "abnormal", head };
  const adjust = bytes[20]!;
  const idle = head >= 0xf0 ? head & 0x0f : 0;
  const value = (at: number, ready: number, idleBit: number): number | null => {
    if ((idle & idleBit) !== 0) return 0;
    if ((adjust & ready) === 0) return null;
    return Math.round((1000 * bytes.readUIntBE(at, 3)) / bytes.readUIntBE(at + 3, 3));
  };
  return {
    kind: "values",
    voltageMillivolts: value(2, VOLTAGE_READY, 0),
    currentMilliamps: value(8, CURRENT_READY, CURRENT_IDLE),
    powerMilliwatts: value(14, POWER_READY, POWER_IDLE),
    pulses: bytes.readUInt16BE(21),
    pulseMilliwattHours: bytes.readUIntBE(14, 3) / 3.6e6,
  };
}
