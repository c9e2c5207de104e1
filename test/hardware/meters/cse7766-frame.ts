// What a CSE7766 sends, made from the data sheet's table.

/** One pulse is 5.195 J: 1.443 mWh. */
const POWER_COEFFICIENT = 5_195_000;

export interface Told {
  readonly head?: number;
  readonly adjust?: number;
  readonly watts?: number;
  readonly volts?: number;
  readonly pulses?: number;
}

/** A frame as the data sheet lays it out. */
export function frame({
  head = 0x55,
  adjust = 0x70,
  watts = 60,
  volts = 230,
  pulses = 0,
}: Told = {}): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.set([head, 0x5a]);
  bytes.writeUIntBE(191_000, 2, 3);
  bytes.writeUIntBE(Math.round(191_000 / volts), 5, 3);
  bytes.writeUIntBE(16_000, 8, 3);
  bytes.writeUIntBE(Math.round(16_000 / (watts / volts || 1)), 11, 3);
  bytes.writeUIntBE(POWER_COEFFICIENT, 14, 3);
  bytes.writeUIntBE(Math.round(POWER_COEFFICIENT / (watts || 1)), 17, 3);
  bytes[20] = adjust;
  bytes.writeUInt16BE(pulses, 21);
  bytes[23] = bytes.subarray(2, 23).reduce((sum, byte) => (sum + byte) & 0xff, 0);
  return bytes;
}
