/** A status as an operator reads it: what shines, what is paid, what is wrong and how to mend it. */
import { explained } from "./explain.ts";
import type { Status } from "./status.ts";

export function statusInWords(status: Status): string {
  const { lamp, meter, channel, unit } = status;
  const paid = status.credit > 0 ? `${status.credit} ${unit} of it paid ahead` : "nothing paid ahead";
  const lines = [
    `light     ${status.device} (${status.model}, ${status.firmware}), process ${status.pid}, up ${duration(status.upSeconds)}`,
    `lamp      ${lamp.name}: ${lamp.levelPercent} % of ${lamp.wantedPercent} % wanted${lamp.starved ? ", STARVED: not paid for" : ""}`,
    `meter     ${meter.name}: register ${meter.register} ${unit}, ${meter.powerMilliwatts / 1000} W, ${paid}`,
    `gateway   ${status.broker}: ${status.linkUp ? "connected" : "NOT CONNECTED"}`,
    channel === null
      ? "channel   none offered yet"
      : `channel   ${channel.id.slice(0, 10)}... pays ${channel.payTo} in ${channel.asset} on ${channel.network}: ` +
        `signed ${channel.maxClaimable} of ${channel.balance}, charged ${channel.charged}, ` +
        `${channel.quantumAtomic} a purchase at ${channel.pricePerMillionUnits} per million ${unit}`,
    `today     ${status.spentTodayAtomic} of ${status.dailyBudgetAtomic} atomic units signed`,
    ...(status.refusal === null ? [] : [`refused   ${explained(status.refusal)}`]),
    ...status.troubles.map(({ part, text }) => `trouble   ${part}: ${text}`),
  ];
  if (status.refusal === null && status.troubles.length === 0) lines.push("all well");
  return lines.join("\n");
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}
