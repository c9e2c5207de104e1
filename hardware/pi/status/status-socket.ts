/**
 * The status of the running device over a Unix socket: a client that connects reads one JSON document.
 *
 * Promise: nothing is written to the disk but the socket's name; a few readers at a time, each for a
 * bounded time; what they send is never read.
 */

import { rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { Status } from "./status.ts";

/** Readers at a time; more are turned away. */
const READERS_MAX = 8;
const READER_MS = 2000;
/** Longest document, bytes: a status has about two thousand. */
const STATUS_BYTES_MAX = 65_536;

/**
 * Serves until closed. The caller holds the journal's lock, so a socket in the way is a dead one's.
 * @param onTrouble called with one line when it cannot be served; the device goes on without
 */
export function serveStatus(path: string, status: () => Status, onTrouble: (text: string) => void): Server {
  rmSync(path, { force: true });
  const server = createServer((reader) => {
    reader.setTimeout(READER_MS, () => reader.destroy());
    reader.on("error", () => reader.destroy());
    reader.resume();
    reader.end(`${JSON.stringify(status())}\n`);
  });
  server.maxConnections = READERS_MAX;
  server.on("error", (error) => onTrouble(`${path}: expected to serve the status, found: ${error.message}`));
  server.listen(path);
  return server;
}

/** The running device's status; null when none runs on this configuration. Rejects when it does not answer. */
export function askStatus(path: string): Promise<Status | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = "";
    socket.setEncoding("utf8");
    socket.setTimeout(READER_MS, () => socket.destroy(new Error(`no answer within ${READER_MS} ms`)));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > STATUS_BYTES_MAX) socket.destroy(new Error("a status without end"));
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") resolve(null);
      else if (error.code === "EACCES") {
        reject(
          new Watt402Error(
            "file-inaccessible",
            `${path}: expected to be allowed to ask, found EACCES; run it with sudo`,
          ),
        );
      } else
        reject(
          new Watt402Error("unreachable", `${path}: expected the device's status, found: ${error.message}`),
        );
    });
    socket.on("end", () => {
      try {
        resolve(parseJson(text) as Status);
      } catch {
        reject(
          new Watt402Error(
            "unexpected-answer",
            `${path}: expected the device's status, found ${text.length} bytes of something else`,
          ),
        );
      }
    });
  });
}
