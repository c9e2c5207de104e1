/**
 * Frames of a CSE7766 as a board hears them: 24 bytes at 4800 baud, even parity.
 *
 * Promise: only a frame whose head and checksum are right is counted, and none of a chip that says it failed; energy
 * is the chip's own pulses over their 16-bit wrap. Pulses before the first frame are not counted.
 */

const FRAME_BYTES = 24;
const PULSES_WRAP = 65536;

/** Bits of the adjust byte and of a head 0xFx. */
const POWER_READY = 0x10;
const POWER_IDLE = 0x02;
const CURRENT_IDLE = 0x04;

/** The longest silence after which a reading is still one, milliseconds: frames come twenty a second. */
export const CSE_FRESH_MS = 3000;

export class CseCounter {
  /** Energy since the first frame, milliwatt-hours with their fraction. */
  energyMilliwattHours = 0;
  powerMilliwatts = 0;
  heardAtMs = -Infinity;
  private readonly calibration: number;
  private readonly nowMs: () => number;
  private bytes = "";
  private pulses = -1;

  constructor(calibration: number, nowMs: () => number) {
    this.calibration = calibration;
    this.nowMs = nowMs;
  }

  take(chunk: string): void {
    this.bytes += chunk;
    while (this.bytes.length >= FRAME_BYTES) {
      const isWhole = this.isFrame();
      if (isWhole) this.takeFrame(this.bytes);
      this.bytes = this.bytes.slice(isWhole ? FRAME_BYTES : 1);
    }
  }

  private isFrame(): boolean {
    const bytes = this.bytes;
    const head = bytes.charCodeAt(0);
    if (bytes.charCodeAt(1) !== 0x5a || (head !== 0x55 && head !== 0xaa && head < 0xf0)) return false;
    let sum = 0;
    for (let at = 2; at < FRAME_BYTES - 1; at++) sum += bytes.charCodeAt(at);
    return (sum & 0xff) === bytes.charCodeAt(FRAME_BYTES - 1);
  }

  private takeFrame(bytes: string): void {
    const head = bytes.charCodeAt(0);
    if (isFailed(head)) return;
    const coefficient = number3(bytes, 14);
    const pulses = bytes.charCodeAt(21) * 256 + bytes.charCodeAt(22);
    const isIdle = head >= 0xf0 && (head & POWER_IDLE) !== 0;
    if (isIdle) this.powerMilliwatts = 0;
    else if ((bytes.charCodeAt(20) & POWER_READY) !== 0) {
      this.powerMilliwatts = Math.round((1000 * this.calibration * coefficient) / number3(bytes, 17));
    }
    // Data sheet: one pulse is the coefficient in millionths of a watt-second.
    const each = (this.calibration * coefficient) / 3.6e6;
    if (this.pulses >= 0)
      this.energyMilliwattHours += ((pulses - this.pulses + PULSES_WRAP) % PULSES_WRAP) * each;
    this.pulses = pulses;
    this.heardAtMs = this.nowMs();
  }
}

/** Uncalibrated, or abnormal storage or measuring. */
function isFailed(head: number): boolean {
  return head === 0xaa || head === 0xff || (head > 0xf0 && (head & (POWER_IDLE | CURRENT_IDLE)) === 0);
}

function number3(bytes: string, at: number): number {
  return bytes.charCodeAt(at) * 65536 + bytes.charCodeAt(at + 1) * 256 + bytes.charCodeAt(at + 2);
}
