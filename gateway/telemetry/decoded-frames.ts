/**
 * What travels between devices and gateway, decoded, for those who watch.
 *
 * Promise: signatures and tags are left out, so nothing shown could be presented to a seller.
 */
import type { GatewayEvent } from "../purchase/ports.ts";

/** One message, as a watcher reads it. */
export interface Frame {
  /** Unix seconds. */
  readonly atSeconds: number;
  readonly device: string;
  readonly direction: "up" | "down";
  readonly leaf: "hello" | "offer" | "pay" | "grant" | "state" | "reading";
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

/** The message that an event is about; null when it is about none that went through. */
export function frameOf(event: GatewayEvent, atSeconds: number): Frame | null {
  switch (event.type) {
    case "hello": {
      const { model, firmware, meter, unit, wantedUnits, register } = event.hello;
      return up("hello", { model, firmware, meter, unit, wantedUnits, register });
    }
    case "offered": {
      const { channel, tariff } = event;
      const { scheme, network, amount } = channel.requirements;
      const { pricePerMillionUnits } = tariff;
      const { promised, charged, granted } = channel;
      return down("offer", { scheme, network, amount, pricePerMillionUnits, promised, charged, granted });
    }
    case "pay": {
      const { again, channelTag, maxClaimable, register } = event.pay;
      return up("pay", { maxClaimable, register, again, channelTag: tagText(channelTag) });
    }
    case "answered": {
      const { refusal, channelTag, charged, granted, pricePerMillionUnits } = event.grant;
      return down("grant", {
        refusal,
        charged,
        granted,
        pricePerMillionUnits,
        channelTag: tagText(channelTag),
      });
    }
    case "state": {
      const { v: _, channelId: _id, ...fields } = event.state;
      return up("state", fields);
    }
    case "reading": {
      const { v: _, ...fields } = event.reading;
      return up("reading", fields);
    }
    case "lost":
      return up("state", { status: "lost" });
    case "released":
    case "evicted":
    case "no-offer":
    case "dropped":
    case "differs":
      return null;
  }

  function up(leaf: Frame["leaf"], fields: Frame["fields"]): Frame {
    return { atSeconds, device: deviceOf(), direction: "up", leaf, fields };
  }
  function down(leaf: Frame["leaf"], fields: Frame["fields"]): Frame {
    return { atSeconds, device: deviceOf(), direction: "down", leaf, fields };
  }
  function deviceOf(): string {
    return "device" in event ? event.device : "";
  }
}

function tagText(channelTag: number): string {
  return `0x${channelTag.toString(16).padStart(8, "0")}`;
}
