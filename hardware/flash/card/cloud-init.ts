/**
 * What cloud-init reads from the boot partition at the first boot: user-data, network-config, meta-data.
 *
 * Promise: every key is one that Debian's cloud-init knows too, so that its own checker can check the
 * files; a Wi-Fi password is on the card only as the network's derived key.
 */
import { pbkdf2Sync } from "node:crypto";
import { stringify } from "yaml";
import { BROKER_PASSWORD_FILE } from "../order/device-toml.ts";

/** Where the boot partition is mounted, and our folder on it. */
const CARD_FOLDER = "/boot/firmware/watt402";

const INSTALLER = "/usr/local/sbin/watt402-install";

export interface Login {
  readonly hostname: string;
  readonly user: string;
  /** OpenSSH public key; null leaves the account without a way in. */
  readonly sshKey: string | null;
}

export interface Wifi {
  readonly ssid: string;
  /** 64 hex digits. */
  readonly derivedKey: string;
  /** Two letters. */
  readonly country: string;
}

/** IEEE 802.11i: the key of a WPA network, 64 hex digits, from its passphrase of 8..63 characters. */
export function wpaKey(ssid: string, passphrase: string): string {
  return pbkdf2Sync(passphrase, ssid, 4096, 32, "sha1").toString("hex");
}

/** `#cloud-config`: account, host name, and a service that installs the package until it has succeeded. */
export function userData({ hostname, user, sshKey }: Login, installScript: string): string {
  const account = {
    name: user,
    groups: ["users", "adm", "dialout", "netdev", "gpio", "i2c", "sudo"],
    shell: "/bin/bash",
    lock_passwd: true,
    sudo: "ALL=(ALL) NOPASSWD:ALL",
    ...(sshKey === null ? {} : { ssh_authorized_keys: [sshKey] }),
  };
  const config = {
    hostname,
    manage_etc_hosts: true,
    ssh_pwauth: false,
    users: [account],
    write_files: [
      { path: INSTALLER, permissions: "0755", content: installScript },
      { path: "/etc/systemd/system/watt402-install.service", permissions: "0644", content: INSTALL_UNIT },
      { path: "/etc/systemd/system.conf.d/watt402.conf", permissions: "0644", content: BOARD_WATCHDOG },
    ],
    runcmd: [
      ...(sshKey === null ? [] : [["systemctl", "enable", "--now", "ssh"]]),
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "watt402-install.service"],
      ["systemctl", "start", "--no-block", "watt402-install.service"],
    ],
  };
  return `#cloud-config\n${yaml(config)}`;
}

/** netplan, version 2: the cable always, Wi-Fi when there is one. */
export function networkConfig(wifi: Wifi | null): string {
  const wireless = wifi && {
    wlan0: {
      dhcp4: true,
      optional: true,
      "regulatory-domain": wifi.country,
      "access-points": { [wifi.ssid]: { password: wifi.derivedKey } },
    },
  };
  const ethernets = { eth0: { dhcp4: true, dhcp6: true, optional: true } };
  return yaml({ network: { version: 2, ethernets, ...(wireless ? { wifis: wireless } : {}) } });
}

export function metaData(instanceId: string): string {
  return yaml({ "instance-id": instanceId });
}

/** The light's password at its broker, on the card. */
export const BROKER_PASSWORD = "broker-password";

/**
 * What the service runs on the board.
 * @param packageName the .deb on the card
 * @param extraFiles copied from the card's folder into /etc/watt402 beside device.toml
 * @param hasBrokerPassword the light logs in by a password that is on the card
 */
export function installScript(
  packageName: string,
  extraFiles: readonly string[],
  hasBrokerPassword: boolean,
): string {
  return `${[
    "#!/bin/sh",
    "# Installs the light from the card; the service that runs it tries again until this ends well.",
    "set -eu",
    `card=${CARD_FOLDER}`,
    ...["device.toml", ...extraFiles].map(
      (name) => `install -D -m 0644 "$card/${name}" /etc/watt402/${name}`,
    ),
    ...KEY_COMMANDS,
    ...(hasBrokerPassword ? [`install -D -m 0600 "$card/${BROKER_PASSWORD}" ${BROKER_PASSWORD_FILE}`] : []),
    "# A board without a clock battery may be behind the package lists' dates.",
    "apt-get -o Acquire::Check-Date=false update",
    "export DEBIAN_FRONTEND=noninteractive",
    "# The configuration from the card stays; the package brings an empty one.",
    `apt-get install -y --reinstall -o Dpkg::Options::=--force-confold "$card/${packageName}"`,
    "systemctl restart watt402-device.service || true",
    "# For an installer without a login: the address, readable in any card reader.",
    `if [ -f ${KEY_FILE} ]; then ${DEVICE_ADDRESS} >"$card/address.txt" || true; fi`,
    "systemctl disable watt402-install.service",
  ].join("\n")}\n`;
}

const KEY_FILE = "/var/lib/watt402/device.key";
const PASSPHRASE = "/etc/credstore/watt402.key-passphrase";

/**
 * Before the package starts the light: a passphrase for its key, made on the board; or key and passphrase
 * from the card, if they were made where it was written. The card keeps neither.
 */
const KEY_COMMANDS = [
  "umask 077",
  "mkdir -p /etc/credstore /var/lib/watt402",
  "# Whole or not at all: power may fail between any two of these lines.",
  'keep() { cat >"$1.new"; sync "$1.new"; mv "$1.new" "$1"; sync "$1"; }',
  `if [ ! -e ${KEY_FILE} ] && [ -f "$card/device.key" ] && [ -f "$card/key-passphrase" ]; then`,
  `  keep ${PASSPHRASE} <"$card/key-passphrase"`,
  `  keep ${KEY_FILE} <"$card/device.key"`,
  "fi",
  'rm -f "$card/device.key" "$card/key-passphrase"',
  `if [ ! -e ${KEY_FILE} ] && [ ! -e ${PASSPHRASE} ]; then`,
  `  head -c 24 /dev/random | base64 | keep ${PASSPHRASE}`,
  "fi",
  "umask 022",
];

/** Prints the light's address on the board, for root: the service is handed the passphrase by systemd. */
export const DEVICE_ADDRESS = "CREDENTIALS_DIRECTORY=/etc/credstore watt402-device address";

const INSTALL_UNIT = `[Unit]
Description=installs the watt402 light from the boot partition
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${INSTALLER}
Restart=on-failure
RestartSec=60

[Install]
WantedBy=multi-user.target
`;

/** With dtparam=watchdog=on: the board restarts when systemd itself hangs. */
const BOARD_WATCHDOG = "[Manager]\nRuntimeWatchdogSec=15\n";

function yaml(value: unknown): string {
  // Never folded: some readers of these files are simple.
  return stringify(value, { lineWidth: 0, version: "1.1" });
}
