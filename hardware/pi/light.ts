/**
 * One light, put together from its configuration and run.
 *
 * Promise: the lamp is brought to its safe level before anything else is tried, and left at it when a part
 * cannot be opened. A light that is stopped has its lamp at that level first, then its memory stored and its
 * link closed; meter and lamp are released meanwhile, and its journal last. Whatever hangs is left after
 * PART_STOP_MS, and named.
 */

import type { Server } from "node:net";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { detach } from "#core/detach";
import type { Clock } from "#core/ports";
import { dimmingPlan } from "#market/priced-plan";
import { systemClock } from "#node/clock";
import type { DeviceConfig } from "#node/config/device-config";
import { within } from "#node/deadline";
import { type Host, PORT_ANSWER_MS, startHost } from "#node/host";
import { diskTrouble, isUnwritable } from "#node/journal/disk-trouble";
import { type FileJournal, openJournal } from "#node/journal/journal";
import { openOrCreateKey } from "#node/key/keystore";
import { findPassphrase } from "#node/key/passphrase";
import { marketFile } from "#node/market/market-file";
import { type MeterDocuments, meterDocumentsIn } from "#node/market/meter-documents";
import { type MqttLink, openMqttLink } from "#node/mqtt-link";
import type { Key } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { machineSettingsOf } from "../charger/settings.ts";
import { logSteps } from "./device-log.ts";
import { deviceFirmware } from "./firmware.ts";
import { gatewayKeyOf, loginOf, tlsOf } from "./gateway-identity.ts";
import { openParts, type Parts } from "./meter-and-lamp.ts";
import { almanacOf, safeLevelPercent } from "./safe-level.ts";
import { clockTrouble } from "./status/clock-trouble.ts";
import { type Status, statusOf } from "./status/status.ts";
import { serveStatus } from "./status/status-socket.ts";
import { foreignTrouble, Troubles } from "./status/troubles.ts";

/** The machine steps at least once a tick; its ports may hold a step up this much longer, milliseconds. */
const STEP_SLACK_MS = 3 * PORT_ANSWER_MS;

/** What it knows of sellers, beside its journal. */
const SELLERS_FILE = "sellers.json";
const METER_DOCUMENTS_FILE = "meter.ocmf";

/** Longest orderly end of one part, milliseconds; they end side by side. */
const PART_STOP_MS = 3800;
/** The journal's end once its last store was given up. */
const JOURNAL_STOP_MS = 200;

export interface Light {
  /** True while the machine takes its steps. */
  isAdvancing(): boolean;
  status(): Status;
  /** Reads the meter at once, and takes a step. */
  look(): void;
  /** Rejects in one line that names what was not left as promised. */
  stop(): Promise<void>;
}

/** Everything that a configuration promises and a look can show, without starting anything. */
export function checkLight(config: DeviceConfig): void {
  openParts(config, systemClock());
  gatewayKeyOf(config);
  tlsOf(config);
  loginOf(config);
}

/** Starts the light. Throws one clear line when a part of it cannot be opened, with the lamp safe. */
/** @param open meter and lamp; those that the configuration names when absent */
export function startLight(
  config: DeviceConfig,
  log: Logger,
  open: (config: DeviceConfig, clock: Clock) => Parts = openParts,
): Light {
  const clock = systemClock();
  const parts = open(config, clock);
  parts.lamp.set(safeLevelPercent(config, clock.wallSeconds()));
  return new RunningLight(config, log, clock, parts);
}

class RunningLight implements Light {
  readonly #config: DeviceConfig;
  readonly #clock: Clock;
  readonly #parts: Parts;
  readonly #key: Key;
  readonly #troubles: Troubles;
  readonly #journal: FileJournal;
  readonly #link: MqttLink;
  readonly #host: Host;
  readonly #socket: Server;
  readonly #startedMs: number;
  #steppedMs: number;

  constructor(config: DeviceConfig, log: Logger, clock: Clock, parts: Parts) {
    this.#config = config;
    this.#clock = clock;
    this.#parts = parts;
    this.#startedMs = clock.nowMs();
    this.#steppedMs = this.#startedMs;
    this.#troubles = new Troubles((part, text) =>
      text === null ? log.info({ part }, "well again") : log.warn({ part, reason: text }, "trouble"),
    );
    const gatewayPublicKey = gatewayKeyOf(config);
    const tls = tlsOf(config);
    const login = loginOf(config);
    this.#key = openKeyOf(config, log);
    this.#journal = openJournal(config.journalFile);
    const { meter, lamp } = parts;
    log.info({ lamp: lamp.name, meter: meter.name, place: meter.location }, "found");
    this.#link = openMqttLink({
      brokerUrl: config.gateway.brokerUrl,
      tls,
      ...(login && { login }),
      protocolVersion: config.gateway.protocolVersion,
      key: this.#key,
      gatewayPublicKey,
      keepaliveSeconds: config.gateway.keepaliveSeconds,
      clock,
      random: Math.random,
      onTrouble: (text) => this.#troubles.note("broker", text),
    });
    const logStep = logSteps(log);
    const { settings } = config;
    const rollOverAt = settings.meter.rollOverAt || meter.rollOverAt;
    const charger = parts.charger?.charger ?? null;
    const planned = almanacOf(config);
    const dims = config.leastPercent === null ? null : dimmingPlan(planned, config.leastPercent);
    const priced = charger === null ? dims : charger.priced;
    this.#host = startHost({
      settings: {
        ...settings,
        meter: { ...settings.meter, rollOverAt },
        ...(parts.charger && machineSettingsOf(parts.charger.settings, settings)),
      },
      walletRules: config.walletRules,
      market: config.marketRules && {
        rules: config.marketRules,
        store: marketFile(join(dirname(config.journalFile), SELLERS_FILE)),
        meterDocuments: this.#meterDocuments(config, meter.name),
      },
      key: this.#key,
      gatewayPublicKey,
      clock,
      chainSeconds: () => clock.wallSeconds(),
      random: Math.random,
      meter,
      lamp,
      journal: this.#watchedJournal(),
      link: this.#link,
      almanac: priced ?? charger?.almanac ?? planned,
      priced,
      offerWish: charger?.offerWish,
      describe: {
        model: config.model,
        firmware: deviceFirmware(),
        meter: meter.name,
        unit: config.unit,
        wantedUnits: config.wantedUnits,
      },
      trouble: () => {
        this.#look();
        return this.#troubles.first();
      },
      observe: (event, effects, state) => {
        this.#steppedMs = clock.nowMs();
        charger?.observe(state);
        if (event.type === "link" && event.up) this.#troubles.note("broker", null);
        this.#look();
        logStep(event, effects, state);
      },
    });
    if (parts.charger !== null)
      detach(parts.charger.listen(), (error) => this.#troubles.note("lamp", String(error)));
    this.#socket = serveStatus(
      config.statusSocket,
      () => this.status(),
      (text) => log.warn({ reason: text }, "trouble"),
    );
  }

  isAdvancing(): boolean {
    return this.#clock.nowMs() - this.#steppedMs <= this.#config.settings.tickMs + STEP_SLACK_MS;
  }

  status(): Status {
    this.#look();
    return statusOf({
      config: this.#config,
      device: this.#key.address,
      host: this.#host,
      parts: this.#parts,
      troubles: this.#troubles.all(),
      upMs: this.#clock.nowMs() - this.#startedMs,
    });
  }

  look(): void {
    this.#host.look();
  }

  async stop(): Promise<void> {
    this.#socket.close();
    const { lamp, meter } = this.#parts;
    const found: string[] = [];
    const end = (part: string, limitMs: number, work: Promise<void>) =>
      within(limitMs, work, () => {
        throw new Watt402Error(
          "unreachable",
          `${part}: expected to end within ${limitMs} ms, found it hanging`,
        );
      }).catch((error: Error) => found.push(error.message));
    // The lamp gets its level inside the first of these calls; none of them waits for another part.
    await Promise.all([
      end("journal and link", PART_STOP_MS, this.#host.stop()),
      end("lamp", PART_STOP_MS, lamp.close()),
      end("meter", PART_STOP_MS, meter.close()),
    ]);
    await end("journal", JOURNAL_STOP_MS, this.#journal.close());
    const trouble = lamp.trouble();
    if (trouble !== null) found.push(`the lamp may not be at its safe level: ${trouble}`);
    if (found.length > 0) throw new Watt402Error("unreachable", found.join("; "));
  }

  /** What the parts say of themselves at this moment. */
  #look(): void {
    const quality = this.#parts.meter.quality();
    this.#troubles.note("lamp", this.#parts.lamp.trouble());
    this.#troubles.note("meter", quality.kind === "good" ? null : quality.reason);
    this.#troubles.note("charger", this.#parts.charger?.charger.remark() ?? null);
    this.#troubles.note("clock", clockTrouble(Date.now()));
    const foreign = this.#host?.counters.foreign ?? 0;
    this.#troubles.note(
      "gateway",
      foreign === 0 || this.#host.state().channel !== null ? null : foreignTrouble(foreign),
    );
  }

  #meterDocuments(config: DeviceConfig, meter: string): MeterDocuments | undefined {
    if (config.marketRules?.signsMeterDocuments !== true) return undefined;
    const identity = { model: config.model, firmware: deviceFirmware(), device: this.#key.address, meter };
    const file = join(dirname(config.journalFile), METER_DOCUMENTS_FILE);
    return meterDocumentsIn(file, identity, this.#key);
  }

  #watchedJournal(): FileJournal {
    const journal = this.#journal;
    return {
      load: () => journal.load(),
      store: (checkpoint, done) =>
        journal.store(checkpoint, (error) => {
          this.#troubles.note("disk", error);
          done(error);
        }),
      close: () => journal.close(),
    };
  }
}

/** Opens the key, or makes it at the first start; a passphrase that the service has encrypts it. */
function openKeyOf(config: DeviceConfig, log: Logger): Key {
  const passphrase = findPassphrase(config.keyPassphraseFile)?.text ?? null;
  try {
    const { key, created } = openOrCreateKey(config.keyFile, passphrase);
    log.info({ device: key.address, keyFile: config.keyFile }, created ? "made a new key" : "key");
    return key;
  } catch (error) {
    throw isUnwritable(error)
      ? new Watt402Error("file-inaccessible", diskTrouble(config.keyFile, error))
      : error;
  }
}
