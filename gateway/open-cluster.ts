/**
 * A gateway's membership in a cluster, by its configuration: gateways that share a PostgreSQL ledger and an
 * external broker share the fleet too; any other gateway is alone.
 */
import { createHash, randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Key } from "#payment/key";
import type { ExternalBroker, ReceiveShared } from "./broker/external/external.ts";
import { type Cluster, joinCluster, SOLE_MEMBER } from "./cluster/cluster.ts";
import type { ClusterStatus } from "./cluster/cluster-status.ts";
import type { Config } from "./config/config.ts";
import { postgresOf } from "./ledger/open-ledger.ts";
import { type MemberIdentity, openPostgresMembership } from "./ledger/postgres/postgres-membership.ts";
import type { GeneralTransport } from "./purchase/general/forward.ts";
import type { Devices, Logger } from "./purchase/ports.ts";
import type { Sessions } from "./purchase/sessions.ts";

interface ClusterWork {
  readonly sessions: Pick<Sessions, "leave">;
  readonly forward: Pick<GeneralTransport, "forget">;
  readonly receive: Sessions["receive"];
}

/** @param gateway address of the gateway's key, which all who share a fleet have */
export function memberIdentityOf(config: Config, gateway: string): MemberIdentity | null {
  if (config.ledger.kind !== "postgres" || config.broker.kind !== "external") return null;
  const name = config.gateway.name ?? hostname();
  return { gateway: gateway.toLowerCase(), member: randomBytes(6).toString("hex"), name };
}

/**
 * The group whose members a broker shares messages among: gateways with one key. Only they can compute its name:
 * a device in the group would receive a part of the others' messages, or a broker that authorizes by topic alone,
 * as Mosquitto does, would drop that part.
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

  /** Rejects while the membership cannot be reached. */
  async join(
    config: Config,
    identity: MemberIdentity | null,
    broker: ExternalBroker | null,
    work: ClusterWork,
    note: Logger,
  ): Promise<void> {
    this.#cluster = await openCluster(config, identity, broker, work, note);
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

/** Joins as the member. Rejects while the membership cannot be reached. */
async function openCluster(
  { ledger }: Config,
  identity: MemberIdentity | null,
  broker: ExternalBroker | null,
  { sessions, forward }: ClusterWork,
  note: Logger,
): Promise<Cluster> {
  if (identity === null || broker === null || ledger.kind !== "postgres") return SOLE_MEMBER;
  return joinCluster({
    membership: await openPostgresMembership(postgresOf(ledger, note), identity),
    member: identity.member,
    delivery: () => broker.delivery(),
    subscribe: (delivery) => broker.subscribe(delivery),
    async leave(isTheirs) {
      await sessions.leave(isTheirs);
      forward.forget(isTheirs);
    },
    note,
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
  });
}

/** Takes messages of the devices held here, and hands over those of others that a shared subscription brings. */
export function receiveByCluster(
  cluster: Cluster,
  broker: ExternalBroker | null,
  receive: Sessions["receive"],
): ReceiveShared {
  return (device, leaf, payload, isHandedOver) => {
    if (cluster.takes(device)) return receive(device, leaf, payload);
    const holder = isHandedOver ? null : cluster.holderOf(device);
    if (holder !== null) broker?.handOver(holder, device, leaf, payload);
  };
}
