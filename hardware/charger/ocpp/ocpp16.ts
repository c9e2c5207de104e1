/**
 * OCPP 1.6-J, as its central system speaks it.
 *
 * Promise: a limit is a TxProfile of its transaction with an absolute start by the charge point's own clock, so that it
 * ends when it should on every reading of the standard, above one TxDefaultProfile for all connectors. Cost goes to the
 * display by the DataTransfer messages of the Open Charge Alliance's "OCPP & California Pricing Requirements".
 */
import { readMeterValue, type SampledValue } from "../metering/sampled-values.ts";
import {
  type ConnectorStatus,
  type CostShown,
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

const COST_VENDOR = "org.openchargealliance.costmsg";

/** Profiles of this side: the default's id, and the limit's, each replaced by the next one. */
const DEFAULT_PROFILE = 1;
const LIMIT_PROFILE = 2;

/** Reasons after which a transaction is not begun again from here. */
const BY_DRIVER: readonly string[] = ["Local", "DeAuthorized", "EmergencyStop", "UnlockCommand"];

interface Boot {
  readonly chargePointVendor: string;
  readonly chargePointModel: string;
  readonly chargePointSerialNumber?: string;
  readonly firmwareVersion?: string;
}
interface Status {
  readonly connectorId: number;
  readonly status: string;
  readonly timestamp?: string;
}
interface Start {
  readonly connectorId: number;
  readonly idTag: string;
  readonly meterStart: number;
  readonly timestamp: string;
}
interface Stop {
  readonly transactionId: number;
  readonly meterStop: number;
  readonly timestamp: string;
  readonly reason?: string;
}
interface Values {
  readonly connectorId: number;
  readonly transactionId?: number;
  readonly meterValue: readonly {
    readonly timestamp: string;
    readonly sampledValue: readonly SampledValue[];
  }[];
}

export function speak16(parts: DialectParts): Dialect {
  return { commands: commandsOf(parts), answers: answersOf(parts) };
}

function answersOf(parts: DialectParts): Dialect["answers"] {
  const { events } = parts;
  /** Of each transaction that is running: StopTransaction does not say it. */
  const connectors = new Map<number, number>();
  const currentTime = () => isoTime(parts.now());
  const whole = (
    connector: number,
    transactionId: number | null,
    time: string,
    wattHours: number,
    begins: boolean,
  ) =>
    events.sampled({
      connector,
      transactionId: transactionId === null ? null : String(transactionId),
      atSeconds: secondsOf(time),
      begins,
      value: { energyMilliwattHours: Math.max(0, wattHours * 1000), powerMilliwatts: null },
    });
  return {
    BootNotification: (boot: Boot) => {
      events.booted({
        vendor: boot.chargePointVendor,
        model: boot.chargePointModel,
        serial: boot.chargePointSerialNumber ?? null,
        firmware: boot.firmwareVersion ?? null,
      });
      return { status: "Accepted", currentTime: currentTime(), interval: parts.heartbeatSeconds };
    },
    Heartbeat: () => ({ currentTime: currentTime() }),
    StatusNotification: (status: Status) => {
      if (status.timestamp !== undefined) events.clockSeen(secondsOf(status.timestamp), true);
      events.status(statusOf(status));
      return {};
    },
    Authorize: ({ idTag }: { readonly idTag: string }) => ({ idTagInfo: infoOf(events.authorizes(idTag)) }),
    StartTransaction: (start: Start) => {
      const { transactionId, accepted } = events.started({
        connector: start.connectorId,
        idTag: start.idTag,
        transactionId: null,
      });
      const id = Number(transactionId);
      if (connectors.size < 16) connectors.set(id, start.connectorId);
      whole(start.connectorId, id, start.timestamp, start.meterStart, true);
      return { transactionId: id, idTagInfo: infoOf(accepted) };
    },
    StopTransaction: (stop: Stop) => {
      const connector = connectors.get(stop.transactionId) ?? parts.connector;
      connectors.delete(stop.transactionId);
      whole(connector, stop.transactionId, stop.timestamp, stop.meterStop, false);
      const end = endOf(stop.reason ?? "Local", BY_DRIVER);
      events.ended(String(stop.transactionId), end, secondsOf(stop.timestamp));
      return {};
    },
    MeterValues: ({ connectorId, transactionId, meterValue }: Values) => {
      for (const { timestamp, sampledValue } of meterValue) {
        events.clockSeen(secondsOf(timestamp), false);
        events.sampled({
          connector: connectorId,
          transactionId: transactionId === undefined ? null : String(transactionId),
          atSeconds: secondsOf(timestamp),
          begins: false,
          value: readMeterValue(sampledValue),
        });
      }
      return {};
    },
    DataTransfer: () => ({ status: "UnknownVendorId" }),
    DiagnosticsStatusNotification: () => ({}),
    FirmwareStatusNotification: () => ({}),
  };
}

function statusOf({ connectorId, status, timestamp = "" }: Status): ConnectorStatus {
  const plugged = ["Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing"].includes(status);
  const known = plugged || status === "Available";
  return {
    connector: connectorId,
    plugged: known ? plugged : null,
    word: status,
    faulted: status === "Faulted",
    atSeconds: secondsOf(timestamp),
  };
}

function infoOf(accepted: boolean): { readonly status: string } {
  return { status: accepted ? "Accepted" : "Blocked" };
}

function commandsOf(parts: DialectParts): StationCommands {
  const { call, connector } = parts;
  const accepts = async (method: string, params: Readonly<Record<string, unknown>>) =>
    ((await call(method, params)) as { readonly status?: string }).status === "Accepted";
  const schedule = (milliwatts: number) => ({
    chargingRateUnit: parts.rateUnit,
    chargingSchedulePeriod: [
      { startPeriod: 0, limit: rateOf(milliwatts, parts), numberPhases: parts.phases },
    ],
  });
  return {
    version: "1.6",
    configure: async (reportSeconds) => {
      const wanted = {
        MeterValueSampleInterval: String(reportSeconds),
        MeterValuesSampledData: "Energy.Active.Import.Register,Power.Active.Import",
      };
      const refused: string[] = [];
      for (const [key, value] of Object.entries(wanted)) {
        const { status } = (await call("ChangeConfiguration", { key, value })) as { readonly status: string };
        if (status !== "Accepted" && status !== "RebootRequired")
          refused.push(`${key} = ${value}: ${status}`);
      }
      return refused;
    },
    setDefault: (milliwatts) =>
      accepts("SetChargingProfile", {
        connectorId: 0,
        csChargingProfiles: {
          chargingProfileId: DEFAULT_PROFILE,
          stackLevel: 0,
          chargingProfilePurpose: "TxDefaultProfile",
          chargingProfileKind: "Absolute",
          chargingSchedule: { startSchedule: DEFAULT_FROM, ...schedule(milliwatts) },
        },
      }),
    setLimit: (transactionId, milliwatts, durationSeconds) =>
      accepts("SetChargingProfile", {
        connectorId: connector,
        csChargingProfiles: {
          chargingProfileId: LIMIT_PROFILE,
          transactionId: Number(transactionId),
          stackLevel: 1,
          chargingProfilePurpose: "TxProfile",
          chargingProfileKind: "Absolute",
          chargingSchedule: {
            startSchedule: isoTime(parts.stationNow()),
            ...(durationSeconds === null ? {} : { duration: durationSeconds }),
            ...schedule(milliwatts),
          },
        },
      }),
    start: () => accepts("RemoteStartTransaction", { connectorId: connector, idTag: OWN_ID_TAG }),
    stop: (transactionId) => accepts("RemoteStopTransaction", { transactionId: Number(transactionId) }),
    showCost: (transactionId, shown) =>
      accepts("DataTransfer", costMessage(transactionId, shown, parts.now())),
    askReport: () => accepts("TriggerMessage", { requestedMessage: "MeterValues", connectorId: connector }),
  };
}

function costMessage(transactionId: string, shown: CostShown, nowSeconds: number) {
  const { cost, pricePerKilowattHour, energyMilliwattHours, charging, final } = shown;
  const id = Number(transactionId);
  const data = final
    ? { transactionId: id, cost, priceText: `${cost} for ${(energyMilliwattHours / 1e6).toFixed(2)} kWh` }
    : {
        transactionId: id,
        timestamp: isoTime(nowSeconds),
        meterValue: Math.round(energyMilliwattHours / 1000),
        cost,
        state: charging ? "Charging" : "Idle",
        chargingPrice: { kWhPrice: pricePerKilowattHour },
      };
  return {
    vendorId: COST_VENDOR,
    messageId: final ? "FinalCost" : "RunningCost",
    data: JSON.stringify(data),
  };
}
