/**
 * What the page knows: every light as the live feed sent it last, and the fleet's figures.
 *
 * Promise: one row per light, changed in place; the listener is called once a frame at most, however many
 * events came. The browser joins a broken connection again, and the feed begins from the start.
 */

import type { BornRow, LightRow } from "../http/light-rows.ts";
import type { Frame } from "../telemetry/decoded-frames.ts";
import { CONDITIONS, type Condition } from "../telemetry/labels.ts";
import type { FleetSummary } from "../telemetry/shapes.ts";

export interface Light {
  readonly index: number;
  readonly device: string;
  readonly name: string;
  readonly latitude: number | null;
  readonly longitude: number | null;
  condition: Condition;
  powerMilliwatts: number;
  unit: string;
  levelPercent: number;
  wantedPercent: number;
  charged: number;
  promised: number;
  daysLeft: number | null;
  refusal: string | null;
  paidSeconds: number;
  heardSeconds: number;
  /** Of the fleet's tokens, what it pays in. */
  tokenIndex: number;
}

export interface Store {
  readonly lights: readonly Light[];
  summary: FleetSummary | null;
  isLive: boolean;
  /** Rises when lights are added: positions and order are found anew. */
  born: number;
}

export interface Listener {
  changed(): void;
  frames(frames: readonly Frame[]): void;
}

/** The live feed, joined when the page asks for it. */
export function openStore(listener: Listener) {
  const lights: Light[] = [];
  const store: { lights: Light[] } & Store = { lights, summary: null, isLive: false, born: 0 };
  let source: EventSource | null = null;
  let messages: EventSource | null = null;
  let isAsked = false;

  function changed(): void {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      listener.changed();
    });
  }

  function on<T>(event: string, take: (data: T) => void): void {
    source!.addEventListener(event, (message) => {
      take(JSON.parse((message as MessageEvent<string>).data) as T);
      changed();
    });
  }

  function open(): void {
    source = new EventSource("/api/v1/events");
    source.onopen = () => {
      store.isLive = true;
      changed();
    };
    source.onerror = () => {
      store.isLive = false;
      changed();
    };
    on<FleetSummary>("fleet", (summary) => {
      store.summary = summary;
    });
    on<BornRow[]>("born", (rows) => {
      for (const row of rows) lights[row[0]] = lightOf(row, lights[row[0]]);
      store.born += 1;
    });
    on<LightRow[]>("lights", (rows) => {
      for (const row of rows) update(lights[row[0]], row);
    });
  }

  /** Listens to one light's messages, and to no other's; null to none. */
  function follow(device: string | null): void {
    messages?.close();
    messages = device === null ? null : new EventSource(`/api/v1/events?frames=${device}`);
    messages?.addEventListener("frames", (message) => {
      listener.frames((JSON.parse((message as MessageEvent<string>).data) as { frames: Frame[] }).frames);
    });
  }
  return { store: store as Store, open, follow };
}

function lightOf([index, device, name, latitude, longitude]: BornRow, before: Light | undefined): Light {
  if (before?.device === device) return before;
  return {
    index,
    device,
    name: name ?? `${device.slice(0, 6)}…${device.slice(-4)}`,
    latitude,
    longitude,
    condition: "new",
    powerMilliwatts: 0,
    unit: "mWh",
    levelPercent: 0,
    wantedPercent: 0,
    charged: 0,
    promised: 0,
    daysLeft: null,
    refusal: null,
    paidSeconds: 0,
    heardSeconds: 0,
    tokenIndex: 0,
  };
}

function update(light: Light | undefined, row: LightRow): void {
  if (light === undefined) return;
  light.condition = CONDITIONS[row[1]] ?? "new";
  light.powerMilliwatts = row[2];
  light.levelPercent = row[3];
  light.wantedPercent = row[4];
  light.charged = row[5];
  light.promised = row[6];
  light.daysLeft = row[7];
  light.refusal = row[8];
  light.paidSeconds = row[9];
  light.heardSeconds = row[10];
  light.tokenIndex = row[11];
  light.unit = row[12];
}
