/**
 * The way between a charge point and the device that is its central system, in virtual time: what a WebSocket is elsewhere.
 *
 * Promise: messages of one connection arrive in their order, each after its way, as JSON would bring them, and none after
 * its end; a call without an answer within CALL_TIMEOUT_MS is lost. What both sides say is their own: hardware/charger
 * on one, simulator/charging on the other.
 */
import { speak } from "#hardware/charger/ocpp/dialects";
import type { Dialect, DialectParts, OcppVersion, StationCommands } from "#hardware/charger/ocpp/ports";
import { parseJson } from "#protocol/nesting";
import type { Dial } from "../../charging/station-link.ts";
import type { StationHandlers } from "../../charging/station-voice.ts";
import type { Draw } from "../../city/random.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { World } from "../engine/world.ts";

const CALL_TIMEOUT_MS = 30_000;
/** A side that is gone without a word is missed by then. */
const PING_MS = 30_000;
const WAY_MS = 50;
const SLOW_WAY_MS = 1500;
const SLOW_SHARE = 0.02;

type Message = Readonly<Record<string, unknown>>;

/** The device's side, for the life of its process. */
export interface CentralSide {
  readonly life: ProcessLifetime;
  readonly dialect: Omit<DialectParts, "call">;
  /** A charge point is there, or gone with null. */
  onStation(commands: StationCommands | null): void;
}

/** What was refused, as `ocpp-rpc` rejects it. */
class RpcError extends Error {
  readonly rpcErrorCode = "NotImplemented";
}

interface Connection {
  isOpen: boolean;
  readonly central: CentralSide;
  /** When the latest message of each direction arrives, world milliseconds. */
  readonly arrives: { up: number; down: number };
  readonly unanswered: Set<(error: Error) => void>;
  readonly onClosed: () => void;
}

export class OcppLink {
  readonly #world: World;
  readonly #draw: Draw;
  readonly #version: OcppVersion;
  #central: CentralSide | null = null;
  #connection: Connection | null = null;

  constructor(world: World, draw: Draw, version: OcppVersion) {
    this.#world = world;
    this.#draw = draw;
    this.#version = version;
  }

  /** The device's process listens. */
  listen(central: CentralSide): void {
    this.#central = central;
  }

  /** The device's process is gone; the charge point hears of it, or misses answers first. */
  end(): void {
    this.#central = null;
    const connection = this.#connection;
    if (connection === null || this.#draw() < 0.5) return;
    this.#world.after(this.#way(), () => this.#close(connection));
  }

  /** For the charge point. */
  readonly dial: Dial = (handlers, onClosed) => {
    let opened: (Connection & { readonly dialect: Dialect }) | null = null;
    let wanted = true;
    return {
      connect: () =>
        this.#later(this.#way(), () => {
          const central = this.#central;
          if (!wanted || central === null) throw new Error("ECONNREFUSED");
          opened = this.#open(central, handlers, onClosed);
        }),
      call: (method, params) => {
        if (opened?.isOpen !== true) return Promise.reject(new Error("not connected"));
        const { dialect, central } = opened;
        return this.#call(opened, "up", method, params, dialect.answers, central);
      },
      close: async () => {
        wanted = false;
        if (opened !== null) this.#close(opened);
      },
    };
  };

  #open(central: CentralSide, handlers: StationHandlers, onClosed: () => void) {
    const connection: Connection = {
      isOpen: true,
      central,
      arrives: { up: 0, down: 0 },
      unanswered: new Set(),
      onClosed,
    };
    const call = (method: string, params: Message) => {
      if (!connection.isOpen) return Promise.reject(new Error("not connected"));
      return this.#call(connection, "down", method, params, handlers, central);
    };
    const dialect = speak(this.#version, { ...central.dialect, call });
    this.#connection = connection;
    central.life.soon(() => {
      this.#world.touch();
      if (connection.isOpen) central.onStation(dialect.commands);
    });
    return Object.assign(connection, { dialect });
  }

  #close(connection: Connection): void {
    if (!connection.isOpen) return;
    connection.isOpen = false;
    if (this.#connection === connection) this.#connection = null;
    this.#world.touch();
    for (const reject of connection.unanswered) reject(new Error("connection lost"));
    connection.onClosed();
    const { life, onStation } = connection.central;
    life.after(this.#draw() < 0.5 ? this.#way() : PING_MS, () => {
      // Where the charge point is back by then, its newer connection took the place of this one.
      if (this.#connection?.central === connection.central) return;
      this.#world.touch();
      onStation(null);
    });
  }

  /** One call and its answer. @param direction of the call: "up" comes from the charge point */
  #call(
    connection: Connection,
    direction: "up" | "down",
    method: string,
    params: Message,
    answers: StationHandlers,
    { life }: CentralSide,
  ): Promise<unknown> {
    const back = direction === "up" ? "down" : "up";
    const asked = copied(params);
    /** What arrives at the device waits while its process is paused, and is lost with it. */
    const arriving = (towards: "up" | "down", act: () => void) => {
      const touched = () => {
        this.#world.touch();
        act();
      };
      if (towards === "up") life.soon(touched);
      else touched();
    };
    return new Promise((resolve, reject) => {
      const settle = (how: () => void) =>
        arriving(back, () => {
          if (connection.unanswered.delete(fail)) how();
        });
      const fail = (error: Error) => settle(() => reject(error));
      connection.unanswered.add(fail);
      this.#world.after(CALL_TIMEOUT_MS, () => fail(new Error("no answer")));
      const ask = () => {
        if (!connection.isOpen) return;
        const answer = answers[method];
        const found = answer && copied(answer(asked as never));
        this.#send(connection, back, () =>
          settle(() => {
            if (found !== undefined) resolve(found);
            else reject(new RpcError(`${method} is not implemented`));
          }),
        );
      };
      this.#send(connection, direction, () => arriving(direction, ask));
    });
  }

  #send(connection: Connection, direction: "up" | "down", arrive: () => void): void {
    const { arrives } = connection;
    arrives[direction] = Math.max(arrives[direction], this.#world.nowMs + this.#way());
    this.#world.at(arrives[direction], () => {
      if (connection.isOpen) arrive();
    });
  }

  #later(delayMs: number, act: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#world.after(delayMs, () => {
        this.#world.touch();
        try {
          resolve(act());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #way(): number {
    const slow = this.#draw() < SLOW_SHARE;
    return (slow ? SLOW_WAY_MS : WAY_MS) * this.#draw();
  }
}

function copied(message: Message): Message {
  return parseJson(JSON.stringify(message)) as Message;
}
