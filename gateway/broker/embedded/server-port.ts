/** An MQTT server behind the broker's listeners: on aedes, or the gateway's own. */
import type { Devices } from "../../purchase/ports.ts";
import type { IncomingConnection } from "./listeners.ts";

export interface MqttServer extends Devices {
  /** Logins that took the place of an older connection of the same device. */
  readonly takeOvers: number;
  isConnected(device: string): boolean;
  /** Serves a connection that has a slot and is not authenticated yet. */
  accept(incoming: IncomingConnection): void;
  /** Retains a text on a topic outside x402's; an empty one deletes it. */
  retain(topic: string, text: string): void;
  close(): Promise<void>;
}
