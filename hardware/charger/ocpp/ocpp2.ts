/**
 * OCPP 2.0.1 and 2.1, as their CSMS speaks them.
 *
 * Promise: a limit is a TxProfile of its transaction with an absolute start by the charging station's own clock, above
 * one TxDefaultProfile for all EVSEs. In 2.1 every answer to a transaction event also carries the transaction's energy
 * limit, so that a station which keeps it stops by itself. Cost goes with the answer and by CostUpdated.
 */
import { readMeterValue, type SampledValue } from "../metering/sampled-values.ts";
import {
  DEFAULT_FROM,
  type Dialect,
  type DialectParts,
  endOf,
  isoTime,
  OWN_ID_TAG,
  rateOf,
  type StationCommands,
  secondsOf,
} from "./ports.ts";

const DEFAULT_PROFILE = 1;
const LIMIT_PROFILE = 2;

/** Reasons after which a transaction is not begun again from here. */
const BY_DRIVER: readonly string[] = [
  "Local",
  "StoppedByEV",
  "SOCLimitReached",
  "DeAuthorized",
  "EmergencyStop",
  "MasterPass",
];

interface Boot {
  readonly chargingStation: {
    readonly vendorName: string;
    readonly model: string;
    readonly serialNumber?: string;
    readonly firmwareVersion?: string;
  };
}
interface Status {
  readonly timestamp: string;
  readonly connectorStatus: string;
  readonly evseId: number;
}
interface MeterValues {
  readonly timestamp: string;
  readonly sampledValue: readonly (SampledValue & { readonly context?: string })[];
}
interface TransactionEvent {
  readonly eventType: "Started" | "Updated" | "Ended";
  readonly timestamp: string;
  readonly offline?: boolean;
  readonly transactionInfo: {
    readonly transactionId: string;
    readonly chargingState?: string;
    readonly stoppedReason?: string;
  };
  readonly evse?: { readonly id: number };
  readonly idToken?: { readonly idToken: string };
  readonly meterValue?: readonly MeterValues[];
}
interface ChargingNeeds {
  readonly chargingNeeds: {
    readonly departureTime?: string;
    readonly acChargingParameters?: { readonly energyAmount: number };
    readonly dcChargingParameters?: { readonly energyAmount?: number };
  };
}

export function speak2(parts: DialectParts, version: "2.0.1" | "2.1"): Dialect {
  return { commands: commandsOf(parts, version), answers: answersOf(parts, version) };
}

function answersOf(parts: DialectParts, version: "2.0.1" | "2.1"): Dialect["answers"] {
  const { events } = parts;
  const currentTime = () => isoTime(parts.now());
  return {
    BootNotification: ({ chargingStation: station }: Boot) => {
      events.booted({
        vendor: station.vendorName,
        model: station.model,
        serial: station.serialNumber ?? null,
        firmware: station.firmwareVersion ?? null,
      });
      return { status: "Accepted", currentTime: currentTime(), interval: parts.heartbeatSeconds };
    },
    Heartbeat: () => ({ currentTime: currentTime() }),
    StatusNotification: ({ timestamp, connectorStatus: word, evseId }: Status) => {
      const atSeconds = secondsOf(timestamp);
      events.clockSeen(atSeconds, true);
      const plugged = word === "Occupied" ? true : word === "Available" ? false : null;
      events.status({ connector: evseId, plugged, word, faulted: word === "Faulted", atSeconds });
      return {};
    },
    Authorize: ({ idToken }: { readonly idToken: { readonly idToken: string } }) => ({
      idTokenInfo: { status: events.authorizes(idToken.idToken) ? "Accepted" : "Blocked" },
    }),
    TransactionEvent: (event: TransactionEvent) => answerEvent(event, parts, version),
    MeterValues: ({
      evseId,
      meterValue,
    }: {
      readonly evseId: number;
      readonly meterValue: readonly MeterValues[];
    }) => {
      for (const values of meterValue) take(parts, evseId, null, false, values);
      return {};
    },
    NotifyEVChargingNeeds: ({ chargingNeeds: needs }: ChargingNeeds) => {
      const wattHours =
        needs.acChargingParameters?.energyAmount ?? needs.dcChargingParameters?.energyAmount ?? null;
      events.wished(
        wattHours === null ? null : wattHours * 1000,
        needs.departureTime === undefined ? null : secondsOf(needs.departureTime),
      );
      return { status: "Accepted" };
    },
    NotifyEvent: () => ({}),
    NotifyReport: () => ({}),
    NotifyChargingLimit: () => ({}),
    ReportChargingProfiles: () => ({}),
    NotifyEVChargingSchedule: () => ({ status: "Accepted" }),
    SecurityEventNotification: () => ({}),
    FirmwareStatusNotification: () => ({}),
    LogStatusNotification: () => ({}),
    DataTransfer: () => ({ status: "UnknownVendorId" }),
  };
}

function answerEvent(
  event: TransactionEvent,
  parts: DialectParts,
  version: "2.0.1" | "2.1",
): Readonly<Record<string, unknown>> {
  const { events } = parts;
  const { transactionId, chargingState, stoppedReason = "Local" } = event.transactionInfo;
  const evse = event.evse?.id ?? parts.connector;
  const live = event.offline !== true;
  const atSeconds = secondsOf(event.timestamp);
  if (live) events.clockSeen(atSeconds, false);
  let accepted = true;
  if (event.eventType === "Started") {
    ({ accepted } = events.started({
      connector: evse,
      idTag: event.idToken?.idToken ?? null,
      transactionId,
    }));
  } else if (event.idToken !== undefined) {
    accepted = events.authorizes(event.idToken.idToken);
  }
  for (const values of event.meterValue ?? []) {
    take(parts, evse, transactionId, event.eventType === "Started", values);
  }
  if (event.eventType !== "Ended" && live && chargingState !== undefined) {
    const plugged = chargingState !== "Idle";
    events.status({ connector: evse, plugged, word: chargingState, faulted: false, atSeconds });
  }
  const cost = events.costSoFar(transactionId);
  const limit =
    version === "2.1" && event.eventType !== "Ended" ? events.transactionLimit(transactionId) : null;
  if (event.eventType === "Ended") events.ended(transactionId, endOf(stoppedReason, BY_DRIVER), atSeconds);
  return {
    ...(cost === null ? {} : { totalCost: cost }),
    ...(limit === null ? {} : { transactionLimit: { maxEnergy: Math.floor(limit / 1000) } }),
    ...(event.idToken === undefined ? {} : { idTokenInfo: { status: accepted ? "Accepted" : "Blocked" } }),
  };
}

function take(
  { events }: DialectParts,
  connector: number,
  transactionId: string | null,
  begins: boolean,
  { timestamp, sampledValue }: MeterValues,
): void {
  const value = readMeterValue(sampledValue);
  events.sampled({ connector, transactionId, atSeconds: secondsOf(timestamp), begins, value });
}

function commandsOf(parts: DialectParts, version: "2.0.1" | "2.1"): StationCommands {
  const { call, connector } = parts;
  const accepts = async (method: string, params: Readonly<Record<string, unknown>>) =>
    ((await call(method, params)) as { readonly status?: string }).status === "Accepted";
  let remoteStarts = 0;
  const schedule = (
    id: number,
    startSchedule: string,
    milliwatts: number,
    durationSeconds: number | null,
  ) => [
    {
      id,
      startSchedule,
      ...(durationSeconds === null ? {} : { duration: durationSeconds }),
      chargingRateUnit: parts.rateUnit,
      chargingSchedulePeriod: [
        { startPeriod: 0, limit: rateOf(milliwatts, parts), numberPhases: parts.phases },
      ],
    },
  ];
  return {
    version,
    configure: async (reportSeconds) => {
      const variable = (component: string, name: string, value: string) => ({
        component: { name: component },
        variable: { name },
        attributeValue: value,
      });
      const wanted = [
        variable("SampledDataCtrlr", "TxUpdatedInterval", String(reportSeconds)),
        variable(
          "SampledDataCtrlr",
          "TxUpdatedMeasurands",
          "Energy.Active.Import.Register,Power.Active.Import",
        ),
      ];
      const { setVariableResult: results } = (await call("SetVariables", { setVariableData: wanted })) as {
        readonly setVariableResult: readonly {
          readonly attributeStatus: string;
          readonly variable: { readonly name: string };
        }[];
      };
      return results
        .filter(
          ({ attributeStatus }) => attributeStatus !== "Accepted" && attributeStatus !== "RebootRequired",
        )
        .map(({ variable: { name }, attributeStatus }) => `${name.slice(0, 50)}: ${attributeStatus}`);
    },
    setDefault: (milliwatts) =>
      accepts("SetChargingProfile", {
        evseId: 0,
        chargingProfile: {
          id: DEFAULT_PROFILE,
          stackLevel: 0,
          chargingProfilePurpose: "TxDefaultProfile",
          chargingProfileKind: "Absolute",
          chargingSchedule: schedule(DEFAULT_PROFILE, DEFAULT_FROM, milliwatts, null),
        },
      }),
    setLimit: (transactionId, milliwatts, durationSeconds) =>
      accepts("SetChargingProfile", {
        evseId: connector,
        chargingProfile: {
          id: LIMIT_PROFILE,
          stackLevel: 1,
          chargingProfilePurpose: "TxProfile",
          chargingProfileKind: "Absolute",
          transactionId,
          chargingSchedule: schedule(LIMIT_PROFILE, isoTime(parts.stationNow()), milliwatts, durationSeconds),
        },
      }),
    start: () =>
      accepts("RequestStartTransaction", {
        evseId: connector,
        remoteStartId: ++remoteStarts,
        idToken: { idToken: OWN_ID_TAG, type: "Central" },
      }),
    stop: (transactionId) => accepts("RequestStopTransaction", { transactionId }),
    showCost: async (transactionId, { cost, final }) => {
      // The last one went with the answer to the transaction's end.
      if (!final) await call("CostUpdated", { totalCost: cost, transactionId });
      return true;
    },
    askReport: () => accepts("TriggerMessage", { requestedMessage: "MeterValues", evse: { id: connector } }),
  };
}
