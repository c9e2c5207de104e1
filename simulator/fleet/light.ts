/**
 * One simulated streetlight: the real device runtime on a real connection, with a simulated lamp, meter
 * and clock around it, and a witness beside it.
 *
 * Promise: nothing of the device is imitated but its surroundings.
 */
import type { Checkpoint } from "#core/events";
import type { Settings, State } from "#core/machine";
import type { Journal } from "#core/ports";
import { type Host, type HostLink, startHost } from "#node/host";
import type { Key } from "#payment/key";
import type { FleetClock } from "./clock.ts";
import { LampModel } from "./lamp-model.ts";
import type { Pole } from "./street.ts";
import { Witness } from "./witness.ts";

export interface LightParts {
  readonly name: string;
  readonly key: Key;
  readonly pole: Pole;
  readonly settings: Settings;
  readonly clock: FleetClock;
  readonly link: HostLink;
  readonly gatewayPublicKey: Uint8Array;
  /** What one purchase should last for, mWh. */
  readonly wantedUnits: number;
  /** Told of every purchase that begins (true) or ends, with its round trip in real milliseconds. */
  readonly onPurchase: (begins: boolean, roundTripMs: number) => void;
}

export class Light {
  readonly name: string;
  readonly address: string;
  readonly witness: Witness;
  private readonly host: Host;

  constructor(parts: LightParts) {
    this.name = parts.name;
    this.address = parts.key.address;
    const { pole, clock } = parts;
    const model = new LampModel(pole.lamp, pole.meter, pole.meterInitial, () => clock.nowMs());
    this.witness = new Witness({
      name: parts.name,
      nowMs: () => clock.nowMs(),
      deliveredMilliwattHours: () => model.deliveredMilliwattHours(),
      onPurchase: parts.onPurchase,
    });
    this.host = startHost({
      settings: parts.settings,
      key: parts.key,
      gatewayPublicKey: parts.gatewayPublicKey,
      clock,
      chainSeconds: () => Date.now() / 1000,
      random: pole.random,
      meter: model,
      lamp: model,
      journal: memoryJournal(),
      link: parts.link,
      almanac: pole.almanac,
      describe: {
        model: `simulated ${pole.lamp.ratedMilliwatts / 1000} W`,
        firmware: "watt402-simulate",
        meter: pole.meter.name,
        unit: parts.settings.policy.unit,
        wantedUnits: parts.wantedUnits,
      },
      observe: (event, effects, state) => this.witness.observe(event, effects, state),
    });
  }

  state(): State {
    return this.host.state();
  }

  stop(): Promise<void> {
    return this.host.stop();
  }

  /** Energy the meter has counted since the beginning, mWh. */
  consumedUnits(): number {
    const { register, account } = this.state();
    return account === null ? 0 : register.total - account.registerAtOpen;
  }

  /** Units credited over all channels, mWh. */
  grantedUnits(): number {
    return this.state().account?.granted ?? 0;
  }

  /** Where seller and chain keep this light's money: its channel, or for exact its own address. */
  accountId(): string {
    const channel = this.state().channel;
    return channel === null || channel.terms.scheme === "exact" ? this.address : channel.id;
  }
}

/** A journal that is as durable as the process: simulated lights are born with their run. */
function memoryJournal(): Journal {
  let stored: string | null = null;
  return {
    load: () => (stored === null ? null : (JSON.parse(stored) as Checkpoint)),
    store(checkpoint, done) {
      stored = JSON.stringify(checkpoint);
      done(null);
    },
  };
}
