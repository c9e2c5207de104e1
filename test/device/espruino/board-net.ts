/** Espruino's module `net` on real sockets: byte strings in and out. */
import { connect } from "node:net";
import type { BoardNet, BoardSocket } from "../../../device/espruino/mqtt/board-link.ts";

export const BYTES = {
  bytesOf: (text: string) => new Uint8Array(Buffer.from(text, "latin1")),
  textOf: (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1"),
};

/** @param split sizes of the pieces in which what comes is handed on; null as it came */
export function boardNet(split: (() => number) | null = null): BoardNet {
  return {
    connect({ host, port }, connected) {
      const socket = connect({ host, port }, connected);
      socket.setEncoding("latin1");
      const listeners: ((bytes: string) => void)[] = [];
      socket.on("data", (chunk) => {
        const text = String(chunk);
        for (let at = 0; at < text.length; ) {
          const size = split === null ? text.length : split();
          for (const take of listeners) take(text.slice(at, at + size));
          at += size;
        }
      });
      const board: BoardSocket = {
        on(event: string, take: (value: never) => void) {
          if (event === "data") listeners.push(take as (bytes: string) => void);
          else socket.on(event, take as (value: unknown) => void);
        },
        write: (bytes) => void socket.write(bytes, "latin1"),
        end: () => void socket.end(),
      };
      return board;
    },
  };
}
