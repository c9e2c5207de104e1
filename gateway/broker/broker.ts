/**
 * The broker as the gateway sees it, embedded or external.
 */
import type { Leaf } from "#protocol/topics";
import type { Devices } from "../purchase/ports.ts";
import type { BrokerRefusal } from "./auth/refusals.ts";

/** What an embedded broker reports of itself. */
export interface BrokerWatch {
  /** Since it opened, by reason. */
  readonly refused: Readonly<Record<BrokerRefusal, number>>;
  /** Logins that took the place of an older connection of the same device. */
  readonly takeOvers: number;
  readonly connections: number;
  /** Whether the device has an authenticated connection. */
  isConnected(device: string): boolean;
}

export interface Broker extends Devices {
  /** Where devices connect, as "mqtt://127.0.0.1:1883". */
  readonly url: string;
  /** True while messages can pass. */
  isUp(): boolean;
  /** Publishes a retained text outside x402's topics, for discovery by others; an empty text deletes it. */
  retain(topic: string, text: string): void;
  /** Takes no more messages and closes; bounded in time. */
  close(): Promise<void>;
}

/** A message of a device, already bound to its topic's device and leaf and within the leaf's size. */
export type Receive = (device: string, leaf: Leaf, payload: Uint8Array) => void;
