/**
 * One light, put together from its configuration and run.
 *
 * Promise: a light that is stopped has its lamp at the unpaid level first, then its memory stored, its
 * link closed and its journal released.
 */
import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { fixedAlmanac, sunAlmanac } from "#node/almanac";
import { systemClock } from "#node/clock";
import type { DeviceConfig } from "#node/config";
import { type Host, startHost } from "#node/host";
import { openJournal } from "#node/journal";
import { openOrCreateKey } from "#node/keystore";
import { openMqttLink } from "#node/mqtt-link";
import { fromHex } from "#payment/bytes";
import { addressOf } from "#payment/key";
import { logSteps } from "./device-log.ts";
import { deviceFirmware } from "./firmware.ts";
import { openParts } from "./parts.ts";

export interface Light {
  stop(): Promise<void>;
}

/** Everything that a configuration promises and a look can show, without starting anything. */
export function checkLight(config: DeviceConfig): void {
  openParts(config, systemClock());
  gatewayKeyOf(config);
  tlsOf(config);
}

/** Starts the light. Throws one clear line when a part of it cannot be opened. */
export function startLight(config: DeviceConfig, log: Logger): Light {
  const clock = systemClock();
  const parts = openParts(config, clock);
  const gatewayPublicKey = gatewayKeyOf(config);
  const tls = tlsOf(config);
  const { key, created } = openOrCreateKey(config.keyFile);
  log.info({ device: key.address, keyFile: config.keyFile }, created ? "made a new key" : "key");
  const journal = openJournal(config.journalFile);
  const link = openMqttLink({
    brokerUrl: config.gateway.brokerUrl,
    tls,
    protocolVersion: config.gateway.protocolVersion,
    key,
    gatewayPublicKey,
    keepaliveSeconds: config.gateway.keepaliveSeconds,
    clock,
    random: Math.random,
    onTrouble: (text) => log.warn(text),
  });
  const host = startHost({
    settings: config.settings,
    key,
    gatewayPublicKey,
    clock,
    chainSeconds: () => clock.wallSeconds(),
    random: Math.random,
    meter: parts.meter,
    lamp: parts.lamp,
    journal,
    link,
    almanac: "sun" in config.plan ? sunAlmanac(config.plan.sun) : fixedAlmanac(config.plan.steps),
    describe: {
      model: config.model,
      firmware: deviceFirmware(),
      meter: parts.meterName,
      unit: config.unit,
      wantedUnits: config.wantedUnits,
    },
    observe: logSteps(log),
  });
  return { stop: () => stopLight(host, () => journal.close()) };
}

async function stopLight(host: Host, close: () => Promise<void>): Promise<void> {
  try {
    await host.stop();
  } finally {
    await close();
  }
}

function gatewayKeyOf(config: DeviceConfig): Uint8Array {
  const publicKey = fromHex(config.gateway.publicKey);
  try {
    addressOf(publicKey);
  } catch {
    throw new Error(`gateway.public_key: expected a point of secp256k1, found ${config.gateway.publicKey}`);
  }
  return publicKey;
}

function tlsOf({ gateway }: DeviceConfig) {
  const { ca, cert, key } = gateway.tlsFiles;
  return {
    ...(ca === undefined ? {} : { ca: pem("gateway.tls.ca_file", ca) }),
    ...(cert === undefined ? {} : { cert: pem("gateway.tls.cert_file", cert) }),
    ...(key === undefined ? {} : { key: pem("gateway.tls.key_file", key) }),
    ...(gateway.servername === null ? {} : { servername: gateway.servername }),
  };
}

function pem(path: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(
      `${path}: expected a readable file, found ${(error as NodeJS.ErrnoException).code}: ${file}`,
    );
  }
}
