/**
 * The rules of access.ts for brokers that others run: Mosquitto and EMQX; RabbitMQ's are in rabbitmq-files.ts.
 *
 * Promise: generated from the table of leaves (protocol/topics.ts), so there is no second list to keep;
 * deny by default. These brokers cannot check a payload's size by its leaf, and Mosquitto not
 * its retention: gateway and devices check them on receipt.
 */
import { LEAVES, type Leaf, TOPIC_PREFIX } from "#protocol/topics";
import { MEMBERS_FOLDER, PRICES_FOLDER } from "./external.ts";

export interface AclOptions {
  /** User name of the gateways. */
  readonly gatewayUser: string;
  /** Where the gateway announces lights to others; null when it does not. */
  readonly discoveryPrefix: string | null;
  /** Where the files and certificates will lie; the broker's own folder when absent. */
  readonly folder?: string;
}

/** Files by their names. */
export type AclFiles = Readonly<Record<string, string>>;

export const leavesThatGo = (direction: "up" | "down") =>
  (Object.keys(LEAVES) as Leaf[]).filter((leaf) => LEAVES[leaf].direction === direction);

export const PAYLOAD_BYTES_MAX = Math.max(...Object.values(LEAVES).map(({ bytesMax }) => bytesMax));

export const MADE_BY = "Written by watt402-gateway acl: write it anew after an update, do not edit it.";

/**
 * An access list and a piece of configuration for Mosquitto 2.x.
 * @param byPasswords devices and gateways log in by user and password; without it by certificates
 */
export function mosquittoFiles(options: AclOptions, byPasswords = false): AclFiles {
  const { gatewayUser, discoveryPrefix, folder = "/etc/mosquitto/watt402" } = options;
  const acl = [
    `# ${MADE_BY}`,
    "# The gateways hear what goes up and say what goes down.",
    `user ${gatewayUser}`,
    ...leavesThatGo("up").map((leaf) => `topic read ${TOPIC_PREFIX}+/${leaf}`),
    ...leavesThatGo("down").map((leaf) => `topic write ${TOPIC_PREFIX}+/${leaf}`),
    "# What gateways say to each other.",
    `topic readwrite ${MEMBERS_FOLDER}#`,
    "# Prices ahead.",
    `topic write ${PRICES_FOLDER}#`,
    ...(discoveryPrefix === null ? [] : [`topic write ${discoveryPrefix}/#`]),
    "",
    "# Every device, on its own topics alone. Whatever is not named here is denied.",
    ...leavesThatGo("up").map((leaf) => `pattern write ${TOPIC_PREFIX}%u/${leaf}`),
    ...leavesThatGo("down").map((leaf) => `pattern read ${TOPIC_PREFIX}%u/${leaf}`),
    "",
  ];
  const conf = [
    `# ${MADE_BY}`,
    "# include_dir this file's folder, or copy it into mosquitto.conf.",
    // By passwords each listener has its own file of them.
    `per_listener_settings ${byPasswords}`,
    ...(byPasswords ? [] : accessLines(folder)),
    `message_size_limit ${PAYLOAD_BYTES_MAX}`,
    "max_inflight_messages 32",
    "max_queued_messages 100",
    "set_tcp_nodelay true",
    "",
    ...(byPasswords
      ? [
          "# Devices: the user name is the device's address, 40 hex digits, and its only client id.",
          "# mosquitto_passwd writes the files of passwords.",
        ]
      : ["# Devices: the common name of a certificate is the device's address, and its only client id."]),
    "listener 8883",
    ...(byPasswords ? passwordLines(folder, "devices") : certificateLines(folder, "devices")),
    "use_username_as_clientid true",
    "",
    byPasswords
      ? `# Gateways: the user ${gatewayUser}, of whom the devices' file knows nothing.`
      : `# Gateways: certificates of another authority, with the common name ${gatewayUser}.`,
    "listener 8884",
    ...(byPasswords ? passwordLines(folder, "gateways") : certificateLines(folder, "gateways")),
    "",
  ];
  return { "watt402.acl": acl.join("\n"), "watt402.conf": conf.join("\n") };
}

const accessLines = (folder: string) => ["allow_anonymous false", `acl_file ${folder}/watt402.acl`];

const serverLines = (folder: string) => [`certfile ${folder}/broker.crt`, `keyfile ${folder}/broker.key`];

function certificateLines(folder: string, who: string): readonly string[] {
  return [
    `cafile ${folder}/${who}-ca.crt`,
    ...serverLines(folder),
    "require_certificate true",
    "use_identity_as_username true",
  ];
}

function passwordLines(folder: string, who: string): readonly string[] {
  return [...serverLines(folder), ...accessLines(folder), `password_file ${folder}/${who}.passwords`];
}

/** Rules for EMQX 5.1.1 or later: etc/acl.conf, with authorization.no_match = deny. */
export function emqxFiles({ gatewayUser, discoveryPrefix }: AclOptions): AclFiles {
  const topics = (names: readonly string[]) => `[${names.map((name) => `"${name}"`).join(", ")}]`;
  const own = (leaves: readonly Leaf[]) =>
    topics(leaves.map((leaf) => `${TOPIC_PREFIX}\${username}/${leaf}`));
  const all = (direction: "up" | "down") =>
    topics(leavesThatGo(direction).map((leaf) => `${TOPIC_PREFIX}+/${leaf}`));
  const up = leavesThatGo("up");
  const gateway = `{allow, {username, "${gatewayUser}"}`;
  const device = `{allow, {username, {re, "^[0-9a-f]{40}$"}}`;
  const rules = [
    `%% ${MADE_BY}`,
    "%% Set authorization.no_match = deny and authorization.deny_action = disconnect, and let a device's",
    "%% client id be its user name: peer_cert_as_username = cn, peer_cert_as_clientid = cn on its listener.",
    "",
    "%% The gateways hear what goes up and say what goes down.",
    `${gateway}, subscribe, ${all("up")}}.`,
    `${gateway}, publish, ${all("down")}}.`,
    "%% What gateways say to each other.",
    `${gateway}, all, ${topics([`${MEMBERS_FOLDER}#`])}}.`,
    `${gateway}, publish, ${topics([`${PRICES_FOLDER}#`])}}.`,
    ...(discoveryPrefix === null ? [] : [`${gateway}, publish, ${topics([`${discoveryPrefix}/#`])}}.`]),
    "",
    "%% Every device, on its own topics alone, retained only where the table of leaves says so.",
    `${device}, {publish, [{retain, false}]}, ${own(up)}}.`,
    `${device}, {publish, [{retain, true}]}, ${own(up.filter((leaf) => LEAVES[leaf].retained))}}.`,
    `${device}, subscribe, ${own(leavesThatGo("down"))}}.`,
    "",
    "{deny, all}.",
    "",
  ];
  return { "acl.conf": rules.join("\n") };
}
