/**
 * What the running device reports of itself, as one JSON document.
 *
 * Promise: numbers with their units in the names, troubles with their remedies, no secret.
 */
import { spentToday } from "#core/policy";
import type { Refusal } from "#core/refusal";
import { reportOf } from "#core/state";
import type { DeviceConfig } from "#node/config/device-config";
import type { Host, HostCounters } from "#node/host";
import { deviceFirmware } from "../firmware.ts";
import type { Parts } from "../meter-and-lamp.ts";
import type { Trouble } from "./troubles.ts";

export interface Status {
  readonly v: 1;
  readonly device: string;
  readonly model: string;
  readonly firmware: string;
  readonly pid: number;
  readonly upSeconds: number;
  readonly linkUp: boolean;
  readonly broker: string;
  readonly lamp: {
    readonly name: string;
    readonly levelPercent: number;
    readonly wantedPercent: number;
    readonly starved: boolean;
  };
  readonly meter: {
    readonly name: string;
    readonly register: number;
    readonly powerMilliwatts: number;
    readonly epoch: number;
  };
  readonly unit: string;
  readonly credit: number;
  readonly channel: {
    readonly id: string;
    readonly network: string;
    readonly asset: string;
    readonly payTo: string;
    readonly charged: number;
    readonly maxClaimable: number;
    readonly balance: number;
    readonly quantumAtomic: number;
    readonly pricePerMillionUnits: number;
  } | null;
  /** Of the token that is paid with at present, as its budget. */
  readonly spentTodayAtomic: number;
  readonly dailyBudgetAtomic: number;
  readonly refusal: Refusal | null;
  readonly troubles: readonly Trouble[];
  readonly counters: Readonly<HostCounters>;
}

interface StatusSources {
  readonly config: DeviceConfig;
  readonly device: string;
  readonly host: Host;
  readonly parts: Parts;
  readonly troubles: readonly Trouble[];
  readonly upMs: number;
}

export function statusOf({ config, device, host, parts, troubles, upMs }: StatusSources): Status {
  const state = host.state();
  const report = reportOf(state);
  const { channel } = state;
  return {
    v: 1,
    device,
    model: config.model,
    firmware: deviceFirmware(),
    pid: process.pid,
    upSeconds: Math.floor(upMs / 1000),
    linkUp: state.linkUp,
    broker: config.gateway.brokerUrl,
    lamp: {
      name: parts.lamp.name,
      levelPercent: report.levelPercent,
      wantedPercent: report.wantedPercent,
      starved: report.starved,
    },
    meter: {
      name: `${parts.meter.name}, ${parts.meter.location}`,
      register: report.register,
      powerMilliwatts: report.powerMilliwatts,
      epoch: report.epoch,
    },
    unit: config.unit,
    credit: report.credit,
    channel:
      channel === null
        ? null
        : {
            id: channel.id,
            network: channel.terms.network,
            asset: channel.terms.asset,
            payTo: channel.terms.payTo,
            charged: channel.charged,
            maxClaimable: channel.signed,
            balance: channel.balance,
            quantumAtomic: channel.quantumAtomic,
            pricePerMillionUnits: channel.pricePerMillionUnits,
          },
    spentTodayAtomic: channel === null ? state.budget.spentBefore : spentToday(state.budget, channel.signed),
    dailyBudgetAtomic: state.settings.policy.dailyBudgetAtomic,
    refusal: report.refusal,
    troubles,
    counters: host.counters,
  };
}
