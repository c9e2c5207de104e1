/**
 * OCPP 1.6-J, as a charge point speaks it.
 *
 * Promise: every message is one of the standard's and fits its schema.
 */
import {
  type EndReason,
  isoOf,
  type MeterForm,
  type PlugState,
  type Say,
  type ShownMeter,
  type StationHandlers,
  type StationOrders,
  type StationVoice,
  valuesOf,
} from "./station-voice.ts";

const STATUS: Readonly<Record<PlugState, string>> = {
  available: "Available",
  plugged: "Preparing",
  charging: "Charging",
  suspended: "SuspendedEVSE",
  finishing: "Finishing",
};
const REASON: Readonly<Record<EndReason, string>> = {
  remote: "Remote",
  unplugged: "EVDisconnected",
  reboot: "Reboot",
  "energy-limit": "Other",
  refused: "DeAuthorized",
};

interface Profile {
  readonly chargingProfileId: number;
  readonly stackLevel: number;
  readonly chargingProfilePurpose: string;
  readonly transactionId?: number;
  readonly chargingSchedule: {
    readonly startSchedule?: string;
    readonly duration?: number;
    readonly chargingRateUnit: string;
    readonly chargingSchedulePeriod: readonly { readonly startPeriod: number; readonly limit: number }[];
  };
}

export function voice16(say: Say, orders: StationOrders, form: MeterForm): StationVoice {
  const status = (answer: Readonly<Record<string, unknown>> | null) =>
    (answer?.idTagInfo as { readonly status: string } | undefined)?.status === "Accepted";
  const now = () => isoOf(orders.stationSeconds());
  const wattHours = ({ energyMilliwattHours }: ShownMeter) => Math.floor(energyMilliwattHours / 1000);
  return {
    boot: (answered) =>
      say(
        "BootNotification",
        () => ({ chargePointVendor: "watt402", chargePointModel: "simulated", firmwareVersion: "1" }),
        false,
        (answer) => {
          if (answer !== null) answered(Date.parse(String(answer.currentTime)) / 1000);
        },
      ),
    heartbeat: () => say("Heartbeat", () => ({}), false),
    status: (connectorId, state) =>
      say(
        "StatusNotification",
        () => ({ connectorId, errorCode: "NoError", status: STATUS[state], timestamp: now() }),
        false,
      ),
    authorize: (idTag, answered) =>
      say(
        "Authorize",
        () => ({ idTag }),
        false,
        (answer) => answered(status(answer)),
      ),
    began: (transaction, shown, answered) =>
      say(
        "StartTransaction",
        () => ({
          connectorId: 1,
          idTag: transaction.idTag,
          meterStart: wattHours(shown),
          timestamp: isoOf(shown.atSeconds),
        }),
        true,
        (answer) => {
          if (answer !== null) transaction.id = String(answer.transactionId);
          answered(status(answer));
        },
      ),
    report: (transaction, shown) =>
      say(
        "MeterValues",
        () => ({
          connectorId: 1,
          ...(transaction.id === null ? {} : { transactionId: Number(transaction.id) }),
          meterValue: [
            {
              timestamp: isoOf(shown.atSeconds),
              sampledValue: valuesOf(shown, form).map((value) => ({ ...value, value: String(value.value) })),
            },
          ],
        }),
        true,
      ),
    ended: (transaction, shown, reason) =>
      say(
        "StopTransaction",
        () => ({
          transactionId: Number(transaction.id ?? 0),
          meterStop: wattHours(shown),
          timestamp: isoOf(shown.atSeconds),
          reason: REASON[reason],
        }),
        true,
      ),
  };
}

export function handlers16(orders: StationOrders): StationHandlers {
  const status = (accepted: boolean) => ({ status: accepted ? "Accepted" : "Rejected" });
  return {
    SetChargingProfile: ({ csChargingProfiles: profile }: { readonly csChargingProfiles: Profile }) =>
      status(orders.setProfile(heldOf(profile, orders))),
    RemoteStartTransaction: ({ idTag }: { readonly idTag: string }) => status(orders.start(idTag, null)),
    RemoteStopTransaction: ({ transactionId }: { readonly transactionId: number }) =>
      status(orders.stop(String(transactionId))),
    ChangeConfiguration: ({ key, value }: { readonly key: string; readonly value: string }) => {
      if (key === "MeterValueSampleInterval") orders.setInterval(Number(value));
      return { status: "Accepted" };
    },
    TriggerMessage: () => status(orders.askedReport()),
    DataTransfer: ({ vendorId, data }: { readonly vendorId: string; readonly data?: string }) => {
      if (vendorId !== "org.openchargealliance.costmsg") return { status: "UnknownVendorId" };
      const [, cost] = /"cost":([0-9.]+)/.exec(data ?? "") ?? [];
      orders.showCost(Number(cost));
      return { status: "Accepted" };
    },
  };
}

function heldOf(profile: Profile, orders: StationOrders) {
  const { startSchedule, duration, chargingRateUnit, chargingSchedulePeriod } = profile.chargingSchedule;
  return {
    id: profile.chargingProfileId,
    purpose: profile.chargingProfilePurpose,
    stackLevel: profile.stackLevel,
    transactionId: profile.transactionId === undefined ? null : String(profile.transactionId),
    startSeconds: startSchedule === undefined ? orders.stationSeconds() : Date.parse(startSchedule) / 1000,
    durationSeconds: duration ?? Number.POSITIVE_INFINITY,
    periods: chargingSchedulePeriod.map(({ startPeriod, limit }) => ({
      startPeriod,
      milliwatts: orders.milliwattsOf(limit, chargingRateUnit),
    })),
  };
}
