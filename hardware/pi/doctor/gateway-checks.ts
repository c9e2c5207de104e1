/**
 * The doctor's looks over the network: broker, gateway's identity, channel.
 *
 * Promise: it logs in as the device would, says hello and listens for the offer; it signs no payment. It is
 * never run beside the device itself, which would lose its connection to it.
 */
import { detach } from "#core/detach";
import type { Checkpoint, Offer } from "#core/events";
import type { Clock } from "#core/ports";
import { refuseCharged } from "#core/rungs";
import { paysOf, refuseByNearest } from "#host/several-tokens";
import { type Opened, openMessage } from "#node/checked-inbox";
import type { DeviceConfig } from "#node/config/device-config";
import { hmacSha256 } from "#node/key/native-hmac";
import { openMqttLink } from "#node/mqtt-link";
import { toHex } from "#payment/bytes";
import type { Key } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import type { Hello } from "#protocol/messages";
import { sealJson, type Tagger } from "#protocol/tag";
import { LEAVES } from "#protocol/topics";
import { deviceFirmware } from "../firmware.ts";
import { gatewayKeyOf, loginOf, tlsOf } from "../gateway-identity.ts";
import { explained } from "../status/explain.ts";
import { foreignTrouble } from "../status/troubles.ts";
import { type Check, unknown, well, wrong } from "./check.ts";

/** Longest wait for the connection, and for the offer behind it, milliseconds. */
const CONNECT_MS = 8000;
const OFFER_MS = 5000;

interface Heard {
  readonly connected: boolean;
  readonly trouble: string | null;
  readonly offer: Offer | null;
  readonly refused: Extract<Opened, { readonly kind: "offer-refused" }> | null;
  readonly foreign: number;
}

export async function checkGateway(
  config: DeviceConfig,
  key: Key,
  checkpoint: Checkpoint | null,
  clock: Clock,
): Promise<readonly Check[]> {
  let gatewayPublicKey: Uint8Array;
  try {
    gatewayPublicKey = gatewayKeyOf(config);
  } catch (error) {
    return [
      unknown("broker", "not asked"),
      wrong("gateway", (error as Error).message),
      unknown("channel", "not asked"),
    ];
  }
  let heard: Heard;
  try {
    heard = await listen(config, key, gatewayPublicKey, checkpoint?.register.total ?? 0, clock);
  } catch (error) {
    heard = { connected: false, trouble: (error as Error).message, offer: null, refused: null, foreign: 0 };
  }
  return checksOf(config, heard, checkpoint);
}

function listen(
  config: DeviceConfig,
  key: Key,
  gatewayPublicKey: Uint8Array,
  register: number,
  clock: Clock,
): Promise<Heard> {
  const login = loginOf(config);
  const tagger: Tagger = { hmac: hmacSha256, key: tagKeyBetween(key, gatewayPublicKey) };
  let trouble: string | null = null;
  let giveUp = () => {};
  const link = openMqttLink({
    brokerUrl: config.gateway.brokerUrl,
    tls: tlsOf(config),
    ...(login && { login }),
    protocolVersion: config.gateway.protocolVersion,
    key,
    gatewayPublicKey,
    keepaliveSeconds: config.gateway.keepaliveSeconds,
    clock,
    random: Math.random,
    onTrouble: (text) => {
      trouble = text;
      giveUp();
    },
  });
  const hello: Hello = {
    v: 1,
    publicKey: toHex(key.publicKey),
    model: config.model,
    firmware: deviceFirmware(),
    meter: "doctor",
    unit: config.unit,
    wantedUnits: config.wantedUnits,
    register,
    ...paysOf(config.settings),
  };
  return new Promise((resolve, reject) => {
    let connected = false;
    let foreign = 0;
    let cancel = clock.at(clock.nowMs() + CONNECT_MS, () => end(null));
    const end = (opened: Opened | null) => {
      cancel();
      const offer = opened?.kind === "offer" ? opened.offer : null;
      const refused = opened?.kind === "offer-refused" ? opened : null;
      detach(
        link.close().then(() => resolve({ connected, trouble, offer, refused, foreign })),
        reject,
      );
    };
    // The device goes on trying; who asks the doctor wants to know now.
    giveUp = () => end(null);
    link.onMessage((leaf, payload) => {
      const opened = openMessage(tagger, key.address, leaf, payload, config.walletRules);
      if (opened.kind === "foreign") foreign++;
      if (opened.kind === "offer" || opened.kind === "offer-refused") end(opened);
    });
    link.onChange((up) => {
      if (!up || connected) return;
      connected = true;
      cancel();
      cancel = clock.at(clock.nowMs() + OFFER_MS, () => end(null));
      link.publish("hello", sealJson(tagger, "hello", hello), LEAVES.hello.retained);
    });
  });
}

function checksOf(config: DeviceConfig, heard: Heard, checkpoint: Checkpoint | null): readonly Check[] {
  const { brokerUrl } = config.gateway;
  if (!heard.connected) {
    const trouble =
      heard.trouble ?? `broker ${brokerUrl}: expected an answer within ${CONNECT_MS} ms, found none`;
    return [wrong("broker", trouble), unknown("gateway", "not reached"), unknown("channel", "not reached")];
  }
  const broker = well("broker", `${brokerUrl}: connected and logged in`);
  if (heard.offer === null && heard.refused === null) {
    const silent =
      heard.foreign > 0
        ? foreignTrouble(heard.foreign)
        : `gateway: expected an offer within ${OFFER_MS} ms, found none; check that the gateway runs, ` +
          "that it admits this device, and gateway.public_key";
    return [broker, wrong("gateway", silent), unknown("channel", "no offer")];
  }
  const gateway = well(
    "gateway",
    `${config.gateway.publicKey.slice(0, 12)}...: its offer carries the right tag`,
  );
  if (heard.offer === null)
    return [broker, gateway, wrong("channel", `channel: ${explained(heard.refused!.refusal)}`)];
  return [broker, gateway, checkChannel(config, heard.offer, checkpoint)];
}

/** The offer by the policy's and the ladder's own rules. */
function checkChannel(config: DeviceConfig, offer: Offer, checkpoint: Checkpoint | null): Check {
  const mark = checkpoint?.channels.find(({ id }) => id === offer.channelId);
  const refusal =
    refuseByNearest(config.settings, offer) ??
    (mark === undefined ? null : refuseCharged(mark, offer.charged, config.settings.signsOnDemand));
  const { channelId, terms, balance, charged, quantumAtomic, pricePerMillionUnits } = offer;
  const described = `${channelId.slice(0, 10)}... to ${terms.payTo} in ${terms.asset} on ${terms.network}`;
  if (refusal !== null) return wrong("channel", `channel ${described}: ${explained(refusal)}`);
  if (charged + quantumAtomic > balance)
    return wrong("channel", `channel ${described}: ${explained("deposit-exhausted")}`);
  return well(
    "channel",
    `${described}: ${charged} of ${balance} atomic units charged, ${quantumAtomic} a purchase at ` +
      `${pricePerMillionUnits} per million ${offer.unit}`,
  );
}
