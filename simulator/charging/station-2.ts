/**
 * OCPP 2.0.1 and 2.1, as a charging station speaks them.
 *
 * Promise: every message is one of the standard's and fits its schema; events of a transaction are numbered without a gap.
 */
import {
  type EndReason,
  isoOf,
  type MeterForm,
  type PlugState,
  type RunningTransaction,
  type Say,
  type ShownMeter,
  type StationHandlers,
  type StationOrders,
  type StationVoice,
  valuesOf,
} from "./station-voice.ts";

const REASON: Readonly<Record<EndReason, string>> = {
  remote: "Remote",
  unplugged: "EVDisconnected",
  reboot: "Reboot",
  "energy-limit": "EnergyLimitReached",
  refused: "DeAuthorized",
};

interface Profile {
  readonly id: number;
  readonly stackLevel: number;
  readonly chargingProfilePurpose: string;
  readonly transactionId?: string;
  readonly chargingSchedule: readonly {
    readonly startSchedule?: string;
    readonly duration?: number;
    readonly chargingRateUnit: string;
    readonly chargingSchedulePeriod: readonly { readonly startPeriod: number; readonly limit?: number }[];
  }[];
}

interface EventMore {
  readonly triggerReason: string;
  readonly stoppedReason?: string;
  readonly idTag?: string;
}

function eventOf(
  eventType: "Started" | "Updated" | "Ended",
  transaction: RunningTransaction,
  shown: ShownMeter,
  { triggerReason, stoppedReason, idTag }: EventMore,
  form: MeterForm,
  offline: boolean,
) {
  const context = { Started: "Transaction.Begin", Updated: "Sample.Periodic", Ended: "Transaction.End" }[
    eventType
  ];
  const sampledValue = valuesOf(shown, form).map(({ unit, ...value }) => ({
    ...value,
    context,
    unitOfMeasure: { unit },
  }));
  const running = shown.powerMilliwatts > 0 ? "Charging" : "SuspendedEVSE";
  const { remoteStartId } = transaction;
  return {
    eventType,
    timestamp: isoOf(shown.atSeconds),
    triggerReason,
    seqNo: transaction.sequence++,
    offline,
    evse: { id: 1, connectorId: 1 },
    transactionInfo: {
      transactionId: transaction.id ?? "",
      chargingState: eventType === "Ended" ? "Idle" : running,
      ...(stoppedReason === undefined ? {} : { stoppedReason }),
      ...(eventType !== "Started" || remoteStartId === null ? {} : { remoteStartId }),
    },
    ...(idTag === undefined ? {} : { idToken: { idToken: idTag, type: "Central" } }),
    meterValue: [{ timestamp: isoOf(shown.atSeconds), sampledValue }],
  };
}

export function voice2(
  say: Say,
  orders: StationOrders,
  form: MeterForm,
  isOpen: () => boolean,
): StationVoice {
  const event = (
    eventType: "Started" | "Updated" | "Ended",
    transaction: RunningTransaction,
    shown: ShownMeter,
    more: EventMore,
    answered?: (accepted: boolean) => void,
  ) => {
    const params = eventOf(eventType, transaction, shown, more, form, !isOpen());
    say(
      "TransactionEvent",
      () => params,
      true,
      (answer) => {
        const { idTokenInfo, totalCost, transactionLimit } = (answer ?? {}) as {
          readonly idTokenInfo?: { readonly status: string };
          readonly totalCost?: number;
          readonly transactionLimit?: { readonly maxEnergy?: number };
        };
        if (totalCost !== undefined) orders.showCost(totalCost);
        if (transactionLimit?.maxEnergy !== undefined)
          orders.limitTransaction(transactionLimit.maxEnergy * 1000);
        answered?.(idTokenInfo === undefined || idTokenInfo.status === "Accepted");
      },
    );
  };
  return {
    boot: (answered) =>
      say(
        "BootNotification",
        () => ({
          reason: "PowerUp",
          chargingStation: { vendorName: "watt402", model: "simulated", firmwareVersion: "1" },
        }),
        false,
        (answer) => {
          if (answer !== null) answered(Date.parse(String(answer.currentTime)) / 1000);
        },
      ),
    heartbeat: () => say("Heartbeat", () => ({}), false),
    status: (evseId, state) =>
      say(
        "StatusNotification",
        () => ({
          timestamp: isoOf(orders.stationSeconds()),
          connectorStatus: statusOf(state),
          evseId,
          connectorId: 1,
        }),
        false,
      ),
    authorize: (idToken, answered) =>
      say(
        "Authorize",
        () => ({ idToken: { idToken, type: "Central" } }),
        false,
        (answer) => {
          const info = answer?.idTokenInfo as { readonly status: string } | undefined;
          answered(info?.status === "Accepted");
        },
      ),
    began: (transaction, shown, answered) => {
      const triggerReason = transaction.remoteStartId === null ? "Authorized" : "RemoteStart";
      event("Started", transaction, shown, { triggerReason, idTag: transaction.idTag }, answered);
    },
    report: (transaction, shown) =>
      event("Updated", transaction, shown, { triggerReason: "MeterValuePeriodic" }),
    ended: (transaction, shown, reason) =>
      event("Ended", transaction, shown, {
        triggerReason:
          reason === "remote" ? "RemoteStop" : reason === "unplugged" ? "EVDeparted" : "AbnormalCondition",
        stoppedReason: REASON[reason],
      }),
  };
}

function statusOf(state: PlugState): string {
  return state === "available" ? "Available" : "Occupied";
}

export function handlers2(orders: StationOrders): StationHandlers {
  const status = (accepted: boolean) => ({ status: accepted ? "Accepted" : "Rejected" });
  return {
    SetChargingProfile: ({ chargingProfile }: { readonly chargingProfile: Profile }) =>
      status(orders.setProfile(heldOf(chargingProfile, orders))),
    RequestStartTransaction: (start: {
      readonly remoteStartId: number;
      readonly idToken: { readonly idToken: string };
    }) => status(orders.start(start.idToken.idToken, start.remoteStartId)),
    RequestStopTransaction: ({ transactionId }: { readonly transactionId: string }) =>
      status(orders.stop(transactionId)),
    SetVariables: ({
      setVariableData,
    }: {
      readonly setVariableData: readonly {
        readonly attributeValue: string;
        readonly component: { readonly name: string };
        readonly variable: { readonly name: string };
      }[];
    }) => ({
      setVariableResult: setVariableData.map(({ component, variable, attributeValue }) => {
        if (variable.name === "TxUpdatedInterval") orders.setInterval(Number(attributeValue));
        return { attributeStatus: "Accepted", component, variable };
      }),
    }),
    TriggerMessage: () => status(orders.askedReport()),
    CostUpdated: ({ totalCost }: { readonly totalCost: number }) => {
      orders.showCost(totalCost);
      return {};
    },
  };
}

function heldOf(profile: Profile, orders: StationOrders) {
  const { startSchedule, duration, chargingRateUnit, chargingSchedulePeriod } = profile.chargingSchedule[0]!;
  return {
    id: profile.id,
    purpose: profile.chargingProfilePurpose,
    stackLevel: profile.stackLevel,
    transactionId: profile.transactionId ?? null,
    startSeconds: startSchedule === undefined ? orders.stationSeconds() : Date.parse(startSchedule) / 1000,
    durationSeconds: duration ?? Number.POSITIVE_INFINITY,
    periods: chargingSchedulePeriod.map(({ startPeriod, limit = 0 }) => ({
      startPeriod,
      milliwatts: orders.milliwattsOf(limit, chargingRateUnit),
    })),
  };
}
