/**
 * `watt402/device`: the machine, its ports, and its host on Linux.
 *
 * Promise: what is here stays within a major version; whatever else lies in these folders may change at any time.
 */

export type {
  Checkpoint,
  Effect,
  Event,
  Grant,
  Moment,
  Offer,
  PlanStep,
  Reading,
  Report,
} from "#core/events";
export { type Step, stepMachine } from "#core/machine";
export type { Policy } from "#core/policy";
export type { Almanac, Clock, Journal, Lamp, Link, Meter, Random } from "#core/ports";
export { bootMachine, finalCheckpoint, reportOf, type Settings, type State } from "#core/state";
export { creditElsewhere, grantedByAll, type Place } from "#host/credit-by-seller";
export { systemClock } from "#node/clock";
export type { OneOffResult } from "#node/general/one-off-buyer";
export type { OneOffOrder } from "#node/general/one-off-order";
export { Prefetch } from "#node/general/prefetch";
export { type Host, type HostLink, type HostParts, startHost, type Whereabouts } from "#node/host";
export { type FileJournal, openJournal } from "#node/journal/journal";
export { loadKey, openOrCreateKey } from "#node/key/keystore";
export { type MqttLink, type MqttLinkOptions, openMqttLink } from "#node/mqtt-link";
