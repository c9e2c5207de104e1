/**
 * The way from lights to a broker to the gateway and back, with everything that befalls messages.
 *
 * Promise: a message is carried in order within its connection unless a fault strikes; nothing but what was
 * published, or a fault made of it, arrives. A connection that carries nothing for KEEP_ALIVE_MS is lost,
 * its will is published, and it is tried again.
 */
import type { HostLink } from "#node/host";
import { LEAVES, type Leaf } from "#protocol/topics";
import type { Draw } from "../../city/random.ts";
import type { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { World } from "../engine/world.ts";

export const KEEP_ALIVE_MS = 45_000;
const CONNECT_MS = 1500;
const RETRY_MS = 3000;
const HOP_MS = 30;

/** What a broker says of a device whose connection broke. */
const WILL = new TextEncoder().encode('{"v":1,"status":"lost"}');

export type Direction = "up" | "down";

/** One stretch of network: a light's, or the gateway's, to the broker. */
class Stretch {
  /** Nothing passes until then. */
  readonly blockedUntilMs = { up: 0, down: 0 };
  cloggedUntilMs = 0;
  readonly lastArrivalMs = { up: 0, down: 0 };
}

interface Client {
  readonly life: ProcessLifetime;
  readonly stretch: Stretch;
  isUp: boolean;
  take: (leaf: Leaf, payload: Uint8Array, forged: boolean) => void;
  change: (up: boolean) => void;
}

/** Observes what passes the network. */
export interface Wiretap {
  /** A light or the gateway published, before anything could happen to it. */
  published(from: "light" | "gateway", device: string, leaf: Leaf, payload: Uint8Array): void;
  /** Something is about to be handed over; `forged`: not as it was published by whom it claims. */
  delivering(to: "light" | "gateway", device: string, leaf: Leaf, payload: Uint8Array, forged: boolean): void;
}

export class Network {
  private readonly world: World;
  private readonly faults: Faults;
  private readonly random: Draw;
  private readonly tap: Wiretap;
  private readonly stretches = new Map<string, Stretch>();
  private readonly clients = new Map<string, Client>();
  private readonly gatewayStretch = new Stretch();
  private gateway: {
    readonly life: ProcessLifetime;
    readonly receive: (device: string, leaf: Leaf, payload: Uint8Array) => void;
    isUp: boolean;
  } | null = null;
  private retained = new Map<string, Uint8Array>();
  private retainedBefore = new Map<string, Uint8Array>();
  private brokerDownUntilMs = 0;

  constructor(world: World, faults: Faults, random: Draw, tap: Wiretap) {
    this.world = world;
    this.faults = faults;
    this.random = random;
    this.tap = tap;
  }

  // ---- lights ----

  /**
   * A light's link, as its host sees it; it connects by itself for as long as the life lasts.
   * @param bend what the light's owner puts between the host and its connection
   */
  link(device: string, life: ProcessLifetime, bend: (link: HostLink) => HostLink): HostLink {
    const client: Client = {
      life,
      stretch: this.stretchOf(device),
      isUp: false,
      take: () => {},
      change: () => {},
    };
    this.clients.set(device, client);
    this.connectSoon(device, client, CONNECT_MS * (0.2 + this.random()));
    const link = bend({
      publish: (leaf, payload, retained) => {
        if (client.isUp) this.toBroker(device, client.stretch, leaf as Leaf, payload, retained);
      },
      onMessage: (take) => {
        client.take = take as Client["take"];
      },
      onChange: (change) => {
        client.change = change;
        if (client.isUp) change(true);
      },
      close: () => Promise.resolve(),
    });
    return {
      publish: (leaf, payload, retained) => {
        this.tap.published("light", device, leaf as Leaf, payload);
        link.publish(leaf, payload, retained);
      },
      onMessage: (take) => link.onMessage(take),
      onChange: (change) => link.onChange(change),
      close: () => link.close(),
    };
  }

  /** Breaks a light's connection; false when it has none. @param retryMs until it tries again */
  drop(device: string, retryMs: number): boolean {
    if (this.clients.get(device)?.isUp !== true) return false;
    this.disconnect(device, retryMs);
    return true;
  }

  /** The light's process is gone; its connection breaks. */
  unplug(device: string): void {
    const client = this.clients.get(device);
    if (client === undefined) return;
    this.clients.delete(device);
    if (client.isUp) this.publishWill(device);
    client.isUp = false;
  }

  private connectSoon(device: string, client: Client, delayMs: number): void {
    client.life.after(delayMs, () => {
      if (client.isUp || this.clients.get(device) !== client) return;
      if (!this.isOpen(client.stretch)) return this.connectSoon(device, client, RETRY_MS);
      client.isUp = true;
      this.world.note(`${short(device)} connected`);
      client.change(true);
      const offer = this.retained.get(`${device}/offer`);
      if (offer !== undefined) this.toLight(device, "offer", offer, this.forged.has(offer));
    });
  }

  private disconnect(device: string, retryMs = RETRY_MS): void {
    const client = this.clients.get(device);
    if (client === undefined || !client.isUp) return;
    client.isUp = false;
    this.world.note(`${short(device)} disconnected`);
    this.publishWill(device);
    client.life.soon(() => client.change(false));
    this.connectSoon(device, client, retryMs);
  }

  private publishWill(device: string): void {
    this.retained.set(`${device}/state`, WILL);
    this.toGateway(device, "state", WILL, false);
  }

  // ---- gateway ----

  /** The gateway subscribes to everything; what is published while it is away never reaches it. */
  attachGateway(
    life: ProcessLifetime,
    receive: (device: string, leaf: Leaf, payload: Uint8Array) => void,
  ): void {
    const gateway = { life, receive, isUp: false };
    this.gateway = gateway;
    life.after(CONNECT_MS, () => {
      gateway.isUp = true;
      for (const [topic, payload] of this.retained) {
        const [device, leaf] = topic.split("/") as [string, Leaf];
        if (LEAVES[leaf].direction === "up") this.toGateway(device, leaf, payload, false);
      }
    });
  }

  publishFromGateway(device: string, leaf: Leaf, payload: Uint8Array, retained: boolean): void {
    this.tap.published("gateway", device, leaf, payload);
    this.carry(this.gatewayStretch, "up", payload, (arrived, forged) => {
      if (retained) this.retain(device, leaf, arrived, forged);
      this.toLight(device, leaf, arrived, forged);
    });
  }

  // ---- broker ----

  /** Payloads that are not what anybody entitled published: a broker may keep one for long. */
  private readonly forged = new WeakSet<Uint8Array>();

  /** What the broker will show to a later subscriber. */
  retain(device: string, leaf: Leaf, payload: Uint8Array, forged: boolean): void {
    this.retained.set(`${device}/${leaf}`, payload);
    if (forged) this.forged.add(payload);
  }

  private toBroker(
    device: string,
    stretch: Stretch,
    leaf: Leaf,
    payload: Uint8Array,
    retained: boolean,
  ): void {
    this.carry(stretch, "up", payload, (arrived, forged) => {
      if (retained) this.retain(device, leaf, arrived, forged);
      this.toGateway(device, leaf, arrived, forged);
    });
  }

  /** From the broker to a light that is connected. */
  toLight(device: string, leaf: Leaf, payload: Uint8Array, forgedBefore: boolean): void {
    const stretch = this.stretchOf(device);
    this.carry(stretch, "down", payload, (arrived, corrupted) => {
      const client = this.clients.get(device);
      if (client === undefined || !client.isUp) return;
      client.life.soon(() => {
        const forged = forgedBefore || corrupted;
        this.tap.delivering("light", device, leaf, arrived, forged);
        client.take(leaf, arrived, forged);
      });
    });
  }

  /** From the broker to the gateway, if it is there. */
  toGateway(device: string, leaf: Leaf, payload: Uint8Array, forgedBefore: boolean): void {
    this.carry(this.gatewayStretch, "down", payload, (arrived, corrupted) => {
      const gateway = this.gateway;
      if (gateway === null || !gateway.isUp) return;
      gateway.life.soon(() => {
        this.world.touch();
        this.tap.delivering("gateway", device, leaf, arrived, forgedBefore || corrupted);
        gateway.receive(device, leaf, arrived);
      });
    });
  }

  // ---- faults ----

  /** Which bit of a payload is not as it was published. */
  private readonly damaged = new WeakMap<Uint8Array, number>();

  /** Blocks a light's stretch, or the gateway's (null), in one direction or both. */
  partition(device: string | null, directions: readonly Direction[], forMs: number): void {
    const stretch = device === null ? this.gatewayStretch : this.stretchOf(device);
    for (const direction of directions) stretch.blockedUntilMs[direction] = this.world.nowMs + forMs;
    if (device === null || forMs < KEEP_ALIVE_MS) return;
    this.world.after(KEEP_ALIVE_MS, () => {
      if (!this.isOpen(stretch)) this.disconnect(device);
    });
  }

  clog(device: string | null, forMs: number): void {
    const stretch = device === null ? this.gatewayStretch : this.stretchOf(device);
    stretch.cloggedUntilMs = this.world.nowMs + forMs;
  }

  /** Every session is lost; `stale`: what the broker retains falls back to what it was some time ago. */
  restartBroker(forMs: number, stale: boolean): void {
    this.brokerDownUntilMs = this.world.nowMs + forMs;
    if (stale) this.retained = new Map(this.retainedBefore);
    for (const device of [...this.clients.keys()]) this.disconnect(device);
    const gateway = this.gateway;
    if (gateway === null) return;
    gateway.isUp = false;
    gateway.life.after(forMs + CONNECT_MS, () => {
      gateway.isUp = true;
    });
  }

  /** Remembers what is retained now, for a broker that restarts with an older state. */
  takeImage(): void {
    this.retainedBefore = new Map(this.retained);
  }

  /** All stretches are open again. */
  heal(): void {
    for (const stretch of [...this.stretches.values(), this.gatewayStretch]) {
      stretch.blockedUntilMs.up = 0;
      stretch.blockedUntilMs.down = 0;
      stretch.cloggedUntilMs = 0;
    }
  }

  private isOpen(stretch: Stretch): boolean {
    const { nowMs } = this.world;
    const { up, down } = stretch.blockedUntilMs;
    return up <= nowMs && down <= nowMs && this.brokerDownUntilMs <= nowMs;
  }

  private stretchOf(device: string): Stretch {
    let stretch = this.stretches.get(device);
    if (stretch === undefined) {
      stretch = new Stretch();
      this.stretches.set(device, stretch);
    }
    return stretch;
  }

  private carry(
    stretch: Stretch,
    direction: Direction,
    payload: Uint8Array,
    arrive: (payload: Uint8Array, corrupted: boolean) => void,
  ): void {
    const { world, faults, random } = this;
    if (this.brokerDownUntilMs > world.nowMs) return;
    if (stretch.blockedUntilMs[direction] > world.nowMs) {
      const other = direction === "up" ? "down" : "up";
      faults.fired(stretch.blockedUntilMs[other] > world.nowMs ? "partition" : "partition-one-way");
      return;
    }
    if (faults.strikes("loss", 0.04)) return;
    const corrupted = faults.strikes("corruption", 0.01);
    const carried = corrupted ? this.corrupt(payload) : payload;
    let atMs = world.nowMs + HOP_MS * (0.2 + random());
    if (faults.strikes("delay", 0.02)) atMs += 40_000 * random();
    if (stretch.cloggedUntilMs > atMs) {
      faults.fired("clog");
      atMs = stretch.cloggedUntilMs;
    }
    if (faults.strikes("reordering", 0.05)) atMs += 4000 * random();
    else atMs = Math.max(atMs, stretch.lastArrivalMs[direction]);
    stretch.lastArrivalMs[direction] = atMs;
    world.at(atMs, () => arrive(carried, corrupted));
    if (faults.strikes("duplication", 0.04)) {
      world.at(atMs + 5000 * random(), () => arrive(carried, corrupted));
    }
  }

  /** One bit is another, or the end is missing. */
  private corrupt(payload: Uint8Array): Uint8Array {
    if (this.random() < 0.3) return payload.slice(0, Math.floor(this.random() * payload.length));
    const corrupted = payload.slice();
    const bits = corrupted.length * 8;
    const bit = Math.floor(this.random() * bits);
    // The bit damaged before, damaged again, would be whole, and no forgery.
    const damaged = this.damaged.get(payload) === bit ? (bit + 1) % bits : bit;
    corrupted[damaged >> 3] = corrupted[damaged >> 3]! ^ (1 << (damaged & 7));
    this.damaged.set(corrupted, damaged);
    return corrupted;
  }
}

/** A device's name in traces. */
export function short(device: string): string {
  return device.slice(0, 6);
}
