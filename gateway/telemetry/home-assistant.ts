/**
 * Home Assistant finds every light by itself: retained discovery messages for energy, power, spending,
 * state and starvation, all pointing at the light's own topics.
 *
 * Promise: what was announced is remembered in one file, so that switching it off takes everything back; what is
 * forgotten leaves memory, broker and, in time, the file, so that devices which come and go make none of them grow.
 */
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { topicOf } from "#protocol/topics";
import type { MoneySection } from "../config/monitoring-section.ts";

/** Publishes a retained message outside x402's topics; an empty text deletes it. */
type Retain = (topic: string, text: string) => void;

interface LightDescription {
  readonly device: string;
  readonly name: string | null;
  readonly model: string;
  readonly firmware: string;
  readonly unit: string;
  /** What it pays in; null before its first offer. */
  readonly network: string | null;
  readonly asset: string | null;
}

interface HomeAssistantOptions {
  readonly isEnabled: boolean;
  /** Home Assistant's discovery prefix, by default "homeassistant". */
  readonly prefix: string;
  /** How the amounts of a light's token are written. */
  readonly moneyOf: (light: LightDescription) => MoneySection;
  /** Remembers which devices were announced. */
  readonly memoryFile: string;
  readonly retain: Retain;
}

export interface HomeAssistant {
  /** Announces a light, once per run and again when it pays in another token. */
  announce(light: LightDescription): void;
  /** Announces a seller's price, once per run. @param config its discovery message */
  announcePrice(seller: string, config: string): void;
  /** Takes a light's announcement back; it is announced again when it comes again. */
  forget(device: string): void;
}

/** Lines of forgotten lights that the file may hold before it is written anew. */
const STALE_LINES_MAX = 1_000;

const ENTITIES = ["energy", "power", "spent", "state", "starved"] as const;
type Entity = (typeof ENTITIES)[number];

/** What is remembered of a seller's price begins so, where a light has its device. */
const PRICE = "price_";
const priceTopic = (prefix: string, name: string) => `${prefix}/sensor/watt402_${name}/config`;

/** A reading comes every minute or so; after an hour of silence the value is no longer the present one. */
const EXPIRE_SECONDS = 3_600;

export function openHomeAssistant(options: HomeAssistantOptions): HomeAssistant {
  const { memoryFile, prefix, retain, isEnabled } = options;
  const remembered = new Set(readMemory(memoryFile));
  /** By device: how its money was written. */
  const announced = new Map<string, MoneySection>();
  /** Sellers whose price was announced in this run. */
  const prices = new Set<string>();
  let staleLines = 0;

  function remember(line: string): void {
    // Remembered before it is published: what is announced can always be taken back.
    if (!remembered.has(line)) appendFileSync(memoryFile, `${line}\n`);
    remembered.add(line);
  }

  function takeBack(before: string, device: string): void {
    if (device.startsWith(PRICE)) retain(priceTopic(before, device), "");
    else for (const entity of ENTITIES) retain(configTopic(before, device, entity), "");
  }

  if (!isEnabled && remembered.size > 0) {
    for (const line of remembered) {
      const [before, device] = line.split(" ");
      takeBack(before!, device!);
    }
    rmSync(memoryFile, { force: true });
  }
  return {
    announce(light) {
      if (!isEnabled) return;
      const money = options.moneyOf(light);
      if (announced.get(light.device) === money) return;
      announced.set(light.device, money);
      remember(`${prefix} ${light.device}`);
      for (const entity of ENTITIES) {
        retain(configTopic(prefix, light.device, entity), JSON.stringify(discovery(light, entity, money)));
      }
    },
    announcePrice(seller, config) {
      if (!isEnabled || prices.has(seller)) return;
      prices.add(seller);
      remember(`${prefix} ${PRICE}${seller}`);
      retain(priceTopic(prefix, PRICE + seller), config);
    },
    forget(device) {
      const line = `${prefix} ${device}`;
      if (!isEnabled || !remembered.delete(line)) return;
      announced.delete(device);
      takeBack(prefix, device);
      staleLines += 1;
      if (staleLines < STALE_LINES_MAX) return;
      // Beside it first: a line that is lost could never be taken back.
      writeFileSync(`${memoryFile}.new`, [...remembered, ""].join("\n"));
      renameSync(`${memoryFile}.new`, memoryFile);
      staleLines = 0;
    },
  };
}

function readMemory(file: string): string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
}

function configTopic(prefix: string, device: string, entity: Entity): string {
  const component = entity === "starved" ? "binary_sensor" : "sensor";
  return `${prefix}/${component}/watt402_${device}/${entity}/config`;
}

/** One entity's discovery message, as Home Assistant's MQTT integration reads it. */
export function discovery(
  light: LightDescription,
  entity: Entity,
  { symbol, decimals }: MoneySection,
): Readonly<Record<string, unknown>> {
  const { device, name, model, firmware, unit } = light;
  const state = topicOf(device, "state");
  const reading = topicOf(device, "reading");
  return {
    unique_id: `watt402_${device}_${entity}`,
    default_entity_id: `${entity === "starved" ? "binary_sensor" : "sensor"}.watt402_${device}_${entity}`,
    device: {
      identifiers: [`watt402_${device}`],
      name: name ?? `Light ${device.slice(0, 8)}`,
      manufacturer: "watt402",
      model,
      sw_version: firmware,
    },
    origin: { name: "watt402-gateway" },
    availability_topic: state,
    availability_template: "{{ 'offline' if value_json.status == 'lost' else 'online' }}",
    ...entityOf(),
  };

  function entityOf(): Readonly<Record<string, unknown>> {
    switch (entity) {
      case "energy":
        return {
          name: unit === "mWh" ? "Energy" : "Used",
          state_topic: reading,
          expire_after: EXPIRE_SECONDS,
          state_class: "total_increasing",
          ...(unit === "mWh"
            ? {
                device_class: "energy",
                unit_of_measurement: "kWh",
                value_template: "{{ value_json.register / 1000000 }}",
              }
            : { unit_of_measurement: unit, value_template: "{{ value_json.register }}" }),
        };
      case "power":
        return {
          state_topic: reading,
          expire_after: EXPIRE_SECONDS,
          state_class: "measurement",
          ...(unit === "mWh"
            ? {
                name: "Power",
                device_class: "power",
                unit_of_measurement: "W",
                value_template: "{{ value_json.powerMilliwatts / 1000 }}",
              }
            : {
                name: "Rate",
                unit_of_measurement: `${unit}/h`,
                value_template: "{{ value_json.powerMilliwatts }}",
              }),
        };
      case "spent":
        return {
          name: "Spent",
          state_topic: state,
          state_class: "total_increasing",
          unit_of_measurement: symbol,
          value_template: `{{ value_json.charged / ${10 ** decimals} }}`,
        };
      case "state":
        return { name: "State", state_topic: state, value_template: "{{ value_json.status }}" };
      case "starved":
        return {
          name: "Starved",
          state_topic: state,
          device_class: "problem",
          value_template: "{{ 'ON' if value_json.starved else 'OFF' }}",
        };
    }
  }
}
