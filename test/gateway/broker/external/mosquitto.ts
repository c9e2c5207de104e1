// Debian's Mosquitto on a free port, to be stopped and started again.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../purchase/agreement.ts";

export interface Mosquitto {
  readonly port: number;
  readonly url: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Holds it still, deaf and mute, its connections open. */
  freeze(): void;
  /** Ends it without a word to anybody. */
  kill(): Promise<void>;
  /** Stops for good. */
  end(): Promise<void>;
}

/** Starts it: anybody may speak, for devices prove themselves by their tags. */
export async function startMosquitto(): Promise<Mosquitto> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "watt402-mosquitto-"));
  const file = join(directory, "mosquitto.conf");
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n`);
  let child: ChildProcess | null = null;
  async function endBy(signal: NodeJS.Signals): Promise<void> {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null) return;
    const exited = once(running, "exit");
    running.kill(signal);
    await exited;
  }
  const mosquitto: Mosquitto = {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    async start() {
      child = spawn("mosquitto", ["-c", file], { stdio: "ignore" });
      for (let tries = 0; !(await listens(port)); tries += 1) {
        if (tries > 200) throw new Error(`expected a Mosquitto on port ${port} within 10 s, found none`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    stop: () => endBy("SIGTERM"),
    freeze() {
      child?.kill("SIGSTOP");
    },
    kill: () => endBy("SIGKILL"),
    async end() {
      await mosquitto.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await mosquitto.start();
  return mosquitto;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
