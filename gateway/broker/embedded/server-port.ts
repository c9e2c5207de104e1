/** What speaks MQTT to the connections that come in by the broker's doors: aedes, or the gateway directly. */
import type { Devices } from "../../purchase/ports.ts";
import type { IncomingConnection } from "./listeners.ts";

export interface MqttServer extends Devices {
  /** Logins that took the place of an older connection of the same device. */
  readonly takeOvers: number;
  isConnected(device: string): boolean;
  /** A connection has a place and has proved nothing yet. */
  welcome(visitor: IncomingConnection): void;
  /** Keeps a text for those who subscribe to a topic outside x402's; an empty one deletes it. */
  retain(topic: string, text: string): void;
  close(): Promise<void>;
}
