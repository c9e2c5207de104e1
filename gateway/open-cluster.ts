/**
 * A gateway's place among several, by its configuration: who shares a PostgreSQL ledger and somebody else's
 * broker shares the fleet too; anyone else is alone.
 */
import { createHash, randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Key } from "#payment/key";
import type { ExternalBroker, ReceiveShared } from "./broker/external/external.ts";
import { type Cluster, joinCluster, SOLE_MEMBER } from "./cluster/cluster.ts";
import type { ClusterStatus } from "./cluster/cluster-status.ts";
import type { Config } from "./config/config.ts";
import { postgresOf } from "./ledger/open-ledger.ts";
import { openPostgresMembership, type Seat } from "./ledger/postgres/postgres-membership.ts";
import type { GeneralTransport } from "./purchase/forward.ts";
import type { Devices, Logger } from "./purchase/ports.ts";
import type { Sessions } from "./purchase/sessions.ts";

export interface ClusterWork {
  readonly sessions: Pick<Sessions, "leave">;
  readonly forward: Pick<GeneralTransport, "forget">;
  readonly receive: Sessions["receive"];
}

/** @param gateway address of the gateway's key, which all who share a fleet have */
export function seatOf(config: Config, gateway: string): Seat | null {
  if (config.ledger.kind !== "postgres" || config.broker.kind !== "external") return null;
  const name = config.gateway.name ?? hostname();
  return { gateway: gateway.toLowerCase(), member: randomBytes(6).toString("hex"), name };
}

/**
 * The group whose members a broker shares messages among: gateways with one key. Only they can tell its name.
 * A device in the group would be given a part of the others' messages, and a broker that judges by topic alone,
 * as Mosquitto does, would drop that part instead.
 */
export function groupOf(key: Pick<Key, "sign">): string {
  const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest();
  // RFC 6979: the same key makes the same signature, on every gateway.
  return `watt402-${sha256(key.sign(sha256("watt402 share group 1")))
    .toString("hex")
    .slice(0, 32)}`;
}

/** What a broker delivers, and who may act on it: nothing is taken before this gateway has joined its cluster. */
export class ClusterIntake {
  #cluster: Cluster = SOLE_MEMBER;
  #receive: ReceiveShared = () => {};

  readonly receive: ReceiveShared = (...message) => this.#receive(...message);

  status(): ClusterStatus {
    return this.#cluster.status();
  }

  /** Does this gateway serve the device now? */
  holds(device: string): boolean {
    return this.#cluster.holds(device);
  }

  /** Rejects while the roster cannot be reached. */
  async join(
    config: Config,
    seat: Seat | null,
    broker: ExternalBroker | null,
    work: ClusterWork,
    note: Logger,
  ): Promise<void> {
    this.#cluster = await openCluster(config, seat, broker, work, note);
    this.#receive = receiveByCluster(this.#cluster, broker, work.receive);
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}

/** The way back to devices: nothing is published to one that another gateway serves by now. */
export function fenceDevices(devices: Devices, cluster: Pick<Cluster, "holds">): Devices {
  return {
    publish(device, leaf, payload, retained) {
      if (cluster.holds(device)) devices.publish(device, leaf, payload, retained);
    },
  };
}

/** Takes the seat. Rejects while the roster cannot be reached. */
async function openCluster(
  { ledger }: Config,
  seat: Seat | null,
  broker: ExternalBroker | null,
  { sessions, forward }: ClusterWork,
  note: Logger,
): Promise<Cluster> {
  if (seat === null || broker === null || ledger.kind !== "postgres") return SOLE_MEMBER;
  return joinCluster({
    roster: await openPostgresMembership(postgresOf(ledger, note), seat),
    member: seat.member,
    delivery: () => broker.delivery(),
    hear: (delivery) => broker.hear(delivery),
    async leave(isTheirs) {
      await sessions.leave(isTheirs);
      forward.forget(isTheirs);
    },
    note,
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
  });
}

/** Takes messages of the devices one has the duty of, and hands over what a shared subscription brings of others. */
export function receiveByCluster(
  duty: Cluster,
  broker: ExternalBroker | null,
  receive: Sessions["receive"],
): ReceiveShared {
  return (device, leaf, payload, isHandedOver) => {
    if (duty.takes(device)) return receive(device, leaf, payload);
    const holder = isHandedOver ? null : duty.holderOf(device);
    if (holder !== null) broker?.handOver(holder, device, leaf, payload);
  };
}
