/**
 * The rules of access.ts for RabbitMQ's MQTT plugin, 3.10 or later: its configuration, and definitions with every
 * user and what it may do.
 *
 * Promise: generated from the table of leaves (protocol/topics.ts); a device reads and writes its own topics
 * alone, and only the queues of its own client id, so that another's session is never its own. No password
 * is in the files, only its salted hash.
 */
import { createHash, randomBytes } from "node:crypto";
import { TOPIC_PREFIX } from "#protocol/topics";
import { type AclFiles, type AclOptions, leavesThatGo, MADE_BY, PAYLOAD_BYTES_MAX } from "./acl-files.ts";
import { MEMBERS_FOLDER, PRICES_FOLDER } from "./external.ts";

/** Who may log in; without a password by a certificate with that common name alone. */
export interface BrokerUser {
  readonly name: string;
  readonly password: string | null;
}

const VHOST = "watt402";

/** What MQTT topics are published to. */
const EXCHANGE = "amq.topic";

/** @param gatewayPassword null: the gateways log in by certificate */
export function rabbitmqFiles(
  options: AclOptions,
  devices: readonly BrokerUser[],
  gatewayPassword: string | null,
): AclFiles {
  const { folder = "/etc/rabbitmq/watt402" } = options;
  const conf = [
    `# ${MADE_BY}`,
    "# Into /etc/rabbitmq/conf.d, after: rabbitmq-plugins enable rabbitmq_mqtt",
    "listeners.tcp = none",
    "mqtt.listeners.tcp = none",
    "mqtt.listeners.ssl.default = 8883",
    "mqtt.allow_anonymous = false",
    `mqtt.vhost = ${VHOST}`,
    `mqtt.exchange = ${EXCHANGE}`,
    "# Messages on their way to one connection that it has not acknowledged.",
    "mqtt.prefetch = 256",
    `max_message_size = ${PAYLOAD_BYTES_MAX}`,
    "",
    "# A certificate's common name is the user, for who says no user name; who says one has a password.",
    `ssl_options.cacertfile = ${folder}/clients-ca.crt`,
    `ssl_options.certfile = ${folder}/broker.crt`,
    `ssl_options.keyfile = ${folder}/broker.key`,
    "ssl_options.verify = verify_peer",
    "ssl_options.fail_if_no_peer_cert = false",
    "mqtt.ssl_cert_login = true",
    "ssl_cert_login_from = common_name",
    "",
    "# Read at every start; while it runs: rabbitmqctl import_definitions.",
    `load_definitions = ${folder}/watt402-definitions.json`,
    "",
  ];
  const definitions = definitionsOf(options, [
    { name: options.gatewayUser, password: gatewayPassword },
    ...devices,
  ]);
  return {
    "watt402.conf": conf.join("\n"),
    "watt402-definitions.json": `${JSON.stringify(definitions, null, 1)}\n`,
  };
}

function definitionsOf({ gatewayUser, discoveryPrefix }: AclOptions, users: readonly BrokerUser[]) {
  const isGateway = (name: string) => name === gatewayUser;
  return {
    written_by: MADE_BY,
    vhosts: [{ name: VHOST }],
    users: users.map(({ name, password }) => ({
      name,
      password_hash: password === null ? "" : hashOf(password),
      hashing_algorithm: "rabbit_password_hashing_sha256",
      tags: "",
    })),
    permissions: users.map(({ name }) => {
      const queues = `mqtt-subscription-${isGateway(name) ? ".*" : `${name}qos[01]`}`;
      const alsoTopics = `^(${literal(EXCHANGE)}|${queues})$`;
      return { user: name, vhost: VHOST, configure: `^${queues}$`, write: alsoTopics, read: alsoTopics };
    }),
    topic_permissions: users.map(({ name }) => {
      const may = isGateway(name) ? gatewayTopics(discoveryPrefix) : DEVICE_TOPICS;
      return { user: name, vhost: VHOST, exchange: EXCHANGE, ...may };
    }),
  };
}

/** RabbitMQ asks about routing keys: dots between levels, and * for +. */
const literal = (topic: string) => topic.replaceAll("/", ".").replaceAll(".", "[.]");

const leavesOf = (direction: "up" | "down") => `[.](${leavesThatGo(direction).join("|")})`;

const DEVICE_TOPICS = {
  write: `^${literal(TOPIC_PREFIX)}{username}${leavesOf("up")}$`,
  read: `^${literal(TOPIC_PREFIX)}{username}${leavesOf("down")}$`,
};

function gatewayTopics(discoveryPrefix: string | null) {
  const device = `${literal(TOPIC_PREFIX)}([0-9a-f]{40}|[*])`;
  const members = `${literal(MEMBERS_FOLDER)}.*`;
  const prices = `${literal(PRICES_FOLDER)}.*`;
  const discovery = discoveryPrefix === null ? [] : [`${literal(`${discoveryPrefix}/`)}.*`];
  return {
    write: `^(${[`${device}${leavesOf("down")}`, members, prices, ...discovery].join("|")})$`,
    read: `^(${device}${leavesOf("up")}|${members})$`,
  };
}

/** rabbit_password_hashing_sha256: four bytes of salt, and SHA-256 of salt and password. */
function hashOf(password: string): string {
  const salt = randomBytes(4);
  const digest = createHash("sha256").update(salt).update(password, "utf8").digest();
  return Buffer.concat([salt, digest]).toString("base64");
}
