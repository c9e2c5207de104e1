/**
 * Values in Modbus registers: how a number lies in its words, both ways.
 *
 * Promise: encoding what was decoded gives the same words back, for every type and order.
 */
import { type MapRegister, TYPE_WORDS } from "./register-map.ts";

type Layout = Pick<MapRegister, "type" | "wordOrder" | "byteOrder">;

/** The register's number, before its scale. @param words as many as the type takes, each 0..65535 */
export function decodeWords(layout: Layout, words: readonly number[]): number {
  const view = new DataView(new ArrayBuffer(8));
  for (const [index, word] of ordered(layout, words).entries()) view.setUint16(2 * index, word);
  switch (layout.type) {
    case "uint16":
      return view.getUint16(0);
    case "int16":
      return view.getInt16(0);
    case "uint32":
      return view.getUint32(0);
    case "int32":
      return view.getInt32(0);
    case "float32":
      return view.getFloat32(0);
    case "uint64":
      return Number(view.getBigUint64(0));
    case "float64":
      return view.getFloat64(0);
  }
}

/** The words that a meter would answer; integers are rounded down, as counters are. */
export function encodeWords(layout: Layout, value: number): number[] {
  const view = new DataView(new ArrayBuffer(8));
  const whole = Math.floor(value);
  switch (layout.type) {
    case "uint16":
      view.setUint16(0, whole);
      break;
    case "int16":
      view.setInt16(0, whole);
      break;
    case "uint32":
      view.setUint32(0, whole);
      break;
    case "int32":
      view.setInt32(0, whole);
      break;
    case "float32":
      view.setFloat32(0, value);
      break;
    case "uint64":
      view.setBigUint64(0, BigInt(whole));
      break;
    case "float64":
      view.setFloat64(0, value);
      break;
  }
  const words = Array.from({ length: TYPE_WORDS[layout.type] }, (_, index) => view.getUint16(2 * index));
  return ordered(layout, words);
}

/** Between the meter's order and high byte of the high word first; its own inverse. */
function ordered({ wordOrder, byteOrder }: Layout, words: readonly number[]): number[] {
  const bytes = byteOrder === "high-first" ? words : words.map((word) => ((word & 0xff) << 8) | (word >> 8));
  return wordOrder === "high-first" ? [...bytes] : [...bytes].reverse();
}
