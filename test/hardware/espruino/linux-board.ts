/**
 * A board whose silicon is the interpreter's Linux build: flash in a directory, console on a TCP port.
 *
 * When the program ends, or is killed, it starts again a moment later as a board does, with what its flash
 * holds. The client of the console's connection keeps it meanwhile, as with a USB adapter.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { ESPRUINO, MARK } from "./interpreter.ts";

const RESTART_MS = 200;

export class LinuxBoard {
  /** What the console said, and how often the board was started. */
  console = "";
  starts = 0;
  private readonly directory: string;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private child: ChildProcess | null = null;
  private isOn = true;
  private startedAt = 0;

  /** @param directory the board's flash */
  static async plugIn(directory: string): Promise<LinuxBoard> {
    const board = new LinuxBoard(directory);
    await new Promise<void>((resolve) => board.server.listen(0, "127.0.0.1", resolve));
    board.powerUp();
    return board;
  }

  private constructor(directory: string) {
    this.directory = directory;
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("data", (bytes) => this.child?.stdin?.write(bytes));
    });
  }

  /** As `--port` wants it. */
  get port(): string {
    return `tcp://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /**
   * Types one line on the console. The interpreter's two threads now and then lose a character of what comes
   * in while it works: be brief, and look whether it was understood.
   */
  type(line: string): void {
    this.child?.stdin?.write(`\x10${line}\n`);
  }

  /** The latest line that the program printed behind @@ since its start; null while there is none. */
  latest(): string | null {
    const lines = this.console.slice(this.startedAt).split("\n").slice(0, -1);
    return lines.flatMap((line) => MARK.exec(line)?.[1] ?? []).at(-1) ?? null;
  }

  /** What was printed so far was another program's. */
  forget(): void {
    this.startedAt = this.console.length;
  }

  /** The power goes, at whatever the board is doing, and comes back. */
  cutPower(): void {
    this.child?.kill("SIGKILL");
  }

  async unplug(): Promise<void> {
    this.isOn = false;
    for (const socket of this.sockets) socket.destroy();
    const { child } = this;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private powerUp(): void {
    if (!this.isOn) return;
    this.starts++;
    this.forget();
    const child = spawn(ESPRUINO!, [], { cwd: this.directory, stdio: ["pipe", "pipe", "ignore"] });
    this.child = child;
    child.stdin.on("error", () => {});
    child.stdout.on("data", (bytes: Buffer) => {
      this.console += bytes.toString("latin1");
      for (const socket of this.sockets) socket.write(bytes);
    });
    child.on("close", () => setTimeout(() => this.powerUp(), RESTART_MS));
  }
}
