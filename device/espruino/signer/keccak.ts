/**
 * Keccak-256 as Ethereum has it (padding 0x01), in slices a board can take between two turns of its loop.
 *
 * Promise: the same 32 bytes as any other keccak-256, for a message of any length; a step is a third of one
 * of a block's 24 rounds. Lanes are two signed 32-bit halves, low half first, because the board has neither
 * 64-bit integers nor an unsigned one. The rows are written out: in an interpreter that reads its own text
 * each time, an index computed costs as much as the work itself.
 */
import type { Sliced } from "./sliced.ts";

const RATE_BYTES = 136;
const ROUNDS = 24;
const STEPS_PER_ROUND = 3;

const KECCAK_BYTES = 32;

/** Keccak's iota (FIPS 202, section 3.2.5): low and high half of each round's constant. */
const ROUND_CONSTANTS = [
  1, 0, 0x8082, 0, 0x808a, 0x80000000, 0x80008000, 0x80000000, 0x808b, 0, 0x80000001, 0, 0x80008081,
  0x80000000, 0x8009, 0x80000000, 0x8a, 0, 0x88, 0, 0x80008009, 0, 0x8000000a, 0, 0x8000808b, 0, 0x8b,
  0x80000000, 0x8089, 0x80000000, 0x8003, 0x80000000, 0x8002, 0x80000000, 0x80, 0x80000000, 0x800a, 0,
  0x8000000a, 0x80000000, 0x80008081, 0x80000000, 0x8080, 0x80000000, 0x80000001, 0, 0x80008008, 0x80000000,
];

export interface Keccak extends Sliced {
  /** Begins with a message, which is not copied. */
  start(message: Uint8Array): void;
  /** The 32 bytes, once step has returned true. */
  digest(): Uint8Array;
}

/** What theta adds to each column's lanes. */
function theta(a: Int32Array, c: Int32Array, d: Int32Array): void {
  c[0] = a[0]! ^ a[10]! ^ a[20]! ^ a[30]! ^ a[40]!;
  c[1] = a[1]! ^ a[11]! ^ a[21]! ^ a[31]! ^ a[41]!;
  c[2] = a[2]! ^ a[12]! ^ a[22]! ^ a[32]! ^ a[42]!;
  c[3] = a[3]! ^ a[13]! ^ a[23]! ^ a[33]! ^ a[43]!;
  c[4] = a[4]! ^ a[14]! ^ a[24]! ^ a[34]! ^ a[44]!;
  c[5] = a[5]! ^ a[15]! ^ a[25]! ^ a[35]! ^ a[45]!;
  c[6] = a[6]! ^ a[16]! ^ a[26]! ^ a[36]! ^ a[46]!;
  c[7] = a[7]! ^ a[17]! ^ a[27]! ^ a[37]! ^ a[47]!;
  c[8] = a[8]! ^ a[18]! ^ a[28]! ^ a[38]! ^ a[48]!;
  c[9] = a[9]! ^ a[19]! ^ a[29]! ^ a[39]! ^ a[49]!;
  d[0] = c[8]! ^ ((c[2]! << 1) | (c[3]! >>> 31));
  d[1] = c[9]! ^ ((c[3]! << 1) | (c[2]! >>> 31));
  d[2] = c[0]! ^ ((c[4]! << 1) | (c[5]! >>> 31));
  d[3] = c[1]! ^ ((c[5]! << 1) | (c[4]! >>> 31));
  d[4] = c[2]! ^ ((c[6]! << 1) | (c[7]! >>> 31));
  d[5] = c[3]! ^ ((c[7]! << 1) | (c[6]! >>> 31));
  d[6] = c[4]! ^ ((c[8]! << 1) | (c[9]! >>> 31));
  d[7] = c[5]! ^ ((c[9]! << 1) | (c[8]! >>> 31));
  d[8] = c[6]! ^ ((c[0]! << 1) | (c[1]! >>> 31));
  d[9] = c[7]! ^ ((c[1]! << 1) | (c[0]! >>> 31));
}

/** Row 0 of the next state: rho, pi and chi. */
function row0(a: Int32Array, d: Int32Array, e: Int32Array): void {
  const p0 = a[0]! ^ d[0]!;
  const q0 = a[1]! ^ d[1]!;
  let t = a[13]! ^ d[3]!;
  let u = a[12]! ^ d[2]!;
  const p1 = (t << 12) | (u >>> 20);
  const q1 = (u << 12) | (t >>> 20);
  t = a[25]! ^ d[5]!;
  u = a[24]! ^ d[4]!;
  const p2 = (t << 11) | (u >>> 21);
  const q2 = (u << 11) | (t >>> 21);
  t = a[36]! ^ d[6]!;
  u = a[37]! ^ d[7]!;
  const p3 = (t << 21) | (u >>> 11);
  const q3 = (u << 21) | (t >>> 11);
  t = a[48]! ^ d[8]!;
  u = a[49]! ^ d[9]!;
  const p4 = (t << 14) | (u >>> 18);
  const q4 = (u << 14) | (t >>> 18);
  e[0] = p0 ^ (~p1 & p2);
  e[1] = q0 ^ (~q1 & q2);
  e[2] = p1 ^ (~p2 & p3);
  e[3] = q1 ^ (~q2 & q3);
  e[4] = p2 ^ (~p3 & p4);
  e[5] = q2 ^ (~q3 & q4);
  e[6] = p3 ^ (~p4 & p0);
  e[7] = q3 ^ (~q4 & q0);
  e[8] = p4 ^ (~p0 & p1);
  e[9] = q4 ^ (~q0 & q1);
}

/** Row 1 of the next state: rho, pi and chi. */
function row1(a: Int32Array, d: Int32Array, e: Int32Array): void {
  let t = a[6]! ^ d[6]!;
  let u = a[7]! ^ d[7]!;
  const p0 = (t << 28) | (u >>> 4);
  const q0 = (u << 28) | (t >>> 4);
  t = a[18]! ^ d[8]!;
  u = a[19]! ^ d[9]!;
  const p1 = (t << 20) | (u >>> 12);
  const q1 = (u << 20) | (t >>> 12);
  t = a[20]! ^ d[0]!;
  u = a[21]! ^ d[1]!;
  const p2 = (t << 3) | (u >>> 29);
  const q2 = (u << 3) | (t >>> 29);
  t = a[33]! ^ d[3]!;
  u = a[32]! ^ d[2]!;
  const p3 = (t << 13) | (u >>> 19);
  const q3 = (u << 13) | (t >>> 19);
  t = a[45]! ^ d[5]!;
  u = a[44]! ^ d[4]!;
  const p4 = (t << 29) | (u >>> 3);
  const q4 = (u << 29) | (t >>> 3);
  e[10] = p0 ^ (~p1 & p2);
  e[11] = q0 ^ (~q1 & q2);
  e[12] = p1 ^ (~p2 & p3);
  e[13] = q1 ^ (~q2 & q3);
  e[14] = p2 ^ (~p3 & p4);
  e[15] = q2 ^ (~q3 & q4);
  e[16] = p3 ^ (~p4 & p0);
  e[17] = q3 ^ (~q4 & q0);
  e[18] = p4 ^ (~p0 & p1);
  e[19] = q4 ^ (~q0 & q1);
}

/** Row 2 of the next state: rho, pi and chi. */
function row2(a: Int32Array, d: Int32Array, e: Int32Array): void {
  let t = a[2]! ^ d[2]!;
  let u = a[3]! ^ d[3]!;
  const p0 = (t << 1) | (u >>> 31);
  const q0 = (u << 1) | (t >>> 31);
  t = a[14]! ^ d[4]!;
  u = a[15]! ^ d[5]!;
  const p1 = (t << 6) | (u >>> 26);
  const q1 = (u << 6) | (t >>> 26);
  t = a[26]! ^ d[6]!;
  u = a[27]! ^ d[7]!;
  const p2 = (t << 25) | (u >>> 7);
  const q2 = (u << 25) | (t >>> 7);
  t = a[38]! ^ d[8]!;
  u = a[39]! ^ d[9]!;
  const p3 = (t << 8) | (u >>> 24);
  const q3 = (u << 8) | (t >>> 24);
  t = a[40]! ^ d[0]!;
  u = a[41]! ^ d[1]!;
  const p4 = (t << 18) | (u >>> 14);
  const q4 = (u << 18) | (t >>> 14);
  e[20] = p0 ^ (~p1 & p2);
  e[21] = q0 ^ (~q1 & q2);
  e[22] = p1 ^ (~p2 & p3);
  e[23] = q1 ^ (~q2 & q3);
  e[24] = p2 ^ (~p3 & p4);
  e[25] = q2 ^ (~q3 & q4);
  e[26] = p3 ^ (~p4 & p0);
  e[27] = q3 ^ (~q4 & q0);
  e[28] = p4 ^ (~p0 & p1);
  e[29] = q4 ^ (~q0 & q1);
}

/** Row 3 of the next state: rho, pi and chi. */
function row3(a: Int32Array, d: Int32Array, e: Int32Array): void {
  let t = a[8]! ^ d[8]!;
  let u = a[9]! ^ d[9]!;
  const p0 = (t << 27) | (u >>> 5);
  const q0 = (u << 27) | (t >>> 5);
  t = a[11]! ^ d[1]!;
  u = a[10]! ^ d[0]!;
  const p1 = (t << 4) | (u >>> 28);
  const q1 = (u << 4) | (t >>> 28);
  t = a[22]! ^ d[2]!;
  u = a[23]! ^ d[3]!;
  const p2 = (t << 10) | (u >>> 22);
  const q2 = (u << 10) | (t >>> 22);
  t = a[34]! ^ d[4]!;
  u = a[35]! ^ d[5]!;
  const p3 = (t << 15) | (u >>> 17);
  const q3 = (u << 15) | (t >>> 17);
  t = a[47]! ^ d[7]!;
  u = a[46]! ^ d[6]!;
  const p4 = (t << 24) | (u >>> 8);
  const q4 = (u << 24) | (t >>> 8);
  e[30] = p0 ^ (~p1 & p2);
  e[31] = q0 ^ (~q1 & q2);
  e[32] = p1 ^ (~p2 & p3);
  e[33] = q1 ^ (~q2 & q3);
  e[34] = p2 ^ (~p3 & p4);
  e[35] = q2 ^ (~q3 & q4);
  e[36] = p3 ^ (~p4 & p0);
  e[37] = q3 ^ (~q4 & q0);
  e[38] = p4 ^ (~p0 & p1);
  e[39] = q4 ^ (~q0 & q1);
}

/** Row 4 of the next state: rho, pi and chi. */
function row4(a: Int32Array, d: Int32Array, e: Int32Array): void {
  let t = a[5]! ^ d[5]!;
  let u = a[4]! ^ d[4]!;
  const p0 = (t << 30) | (u >>> 2);
  const q0 = (u << 30) | (t >>> 2);
  t = a[17]! ^ d[7]!;
  u = a[16]! ^ d[6]!;
  const p1 = (t << 23) | (u >>> 9);
  const q1 = (u << 23) | (t >>> 9);
  t = a[29]! ^ d[9]!;
  u = a[28]! ^ d[8]!;
  const p2 = (t << 7) | (u >>> 25);
  const q2 = (u << 7) | (t >>> 25);
  t = a[31]! ^ d[1]!;
  u = a[30]! ^ d[0]!;
  const p3 = (t << 9) | (u >>> 23);
  const q3 = (u << 9) | (t >>> 23);
  t = a[42]! ^ d[2]!;
  u = a[43]! ^ d[3]!;
  const p4 = (t << 2) | (u >>> 30);
  const q4 = (u << 2) | (t >>> 30);
  e[40] = p0 ^ (~p1 & p2);
  e[41] = q0 ^ (~q1 & q2);
  e[42] = p1 ^ (~p2 & p3);
  e[43] = q1 ^ (~q2 & q3);
  e[44] = p2 ^ (~p3 & p4);
  e[45] = q2 ^ (~q3 & q4);
  e[46] = p3 ^ (~p4 & p0);
  e[47] = q3 ^ (~q4 & q0);
  e[48] = p4 ^ (~p0 & p1);
  e[49] = q4 ^ (~q0 & q1);
}
export function createKeccak(): Keccak {
  let state = new Int32Array(50);
  let next = new Int32Array(50);
  const columns = new Int32Array(10);
  const mixed = new Int32Array(10);
  let stepsDone = 0;
  let text: Uint8Array = new Uint8Array(0);
  let absorbed = 0;

  /** Mixes the next block in; the one that the message ends in is padded. */
  const absorb = () => {
    const end = Math.min(RATE_BYTES, text.length - absorbed);
    for (let at = 0; at < end; at++) {
      state[at >> 2] = state[at >> 2]! ^ (text[absorbed + at]! << (8 * (at & 3)));
    }
    absorbed += RATE_BYTES;
    if (end < RATE_BYTES) {
      state[end >> 2] = state[end >> 2]! ^ (1 << (8 * (end & 3)));
      const last = (RATE_BYTES >> 2) - 1;
      state[last] = state[last]! ^ 0x80000000;
    }
    stepsDone = 0;
  };

  return {
    start(message) {
      state.fill(0);
      text = message;
      absorbed = 0;
      absorb();
    },

    step() {
      const part = stepsDone % STEPS_PER_ROUND;
      if (part === 0) {
        theta(state, columns, mixed);
        row0(state, mixed, next);
      } else if (part === 1) {
        row1(state, mixed, next);
        row2(state, mixed, next);
      } else {
        row3(state, mixed, next);
        row4(state, mixed, next);
        const round = (stepsDone - part) / STEPS_PER_ROUND;
        next[0] = next[0]! ^ ROUND_CONSTANTS[2 * round]!;
        next[1] = next[1]! ^ ROUND_CONSTANTS[2 * round + 1]!;
        const before = state;
        state = next;
        next = before;
      }
      stepsDone++;
      if (stepsDone < ROUNDS * STEPS_PER_ROUND) return false;
      if (absorbed > text.length) return true;
      absorb();
      return false;
    },

    digest() {
      const bytes = new Uint8Array(KECCAK_BYTES);
      for (let at = 0; at < KECCAK_BYTES; at++) bytes[at] = (state[at >> 2]! >> (8 * (at & 3))) & 255;
      return bytes;
    },
  };
}
