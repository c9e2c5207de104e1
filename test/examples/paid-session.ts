/**
 * A profile of one's own, a session that costs by the second of being open: a meter that counts its seconds, a load that
 * opens and closes it, a plan that says when it is wanted, and a seller of seconds.
 *
 *     npx tsx test/examples/paid-session.ts
 */
import { randomBytes } from "node:crypto";
import {
  type Almanac,
  type Clock,
  type Lamp,
  type Meter,
  openJournal,
  openMqttLink,
  startHost,
  systemClock,
} from "watt402/device";
import { fromHex, openKey } from "watt402/payment";
import { flatTariff, startSeller } from "watt402/seller";
import { chargedTo, settingsOn } from "./light.ts";
import { Market, until } from "./market.ts";

/** Atomic units for a million seconds: 50 a second. */
const PRICE = 50_000_000;
const SECONDS_PER_HOUR = 3_600;

/** The session: open or closed, and a clock that runs while it is open. */
class Session implements Lamp, Meter {
  isOpen = false;
  openedTimes = 0;
  readonly #clock: Clock;
  #openMs = 0;
  #sinceMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(levelPercent: number): void {
    this.#count();
    if (levelPercent > 0 && !this.isOpen) this.openedTimes += 1;
    this.isOpen = levelPercent > 0;
  }

  /** Whole seconds, and what an hour of it uses at this rate. */
  read(done: Parameters<Meter["read"]>[0]): void {
    done({ raw: this.seconds(), powerMilliwatts: this.isOpen ? SECONDS_PER_HOUR : 0 });
  }

  seconds(): number {
    this.#count();
    return Math.floor(this.#openMs / 1000);
  }

  #count(): void {
    const nowMs = this.#clock.nowMs();
    if (this.isOpen) this.#openMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
  }
}

/** The plan: wanted until somebody closes it. */
class Wish implements Almanac {
  #isWanted = true;
  #changed = () => {};

  plan() {
    return [{ minuteOfDay: 0, levelPercent: this.#isWanted ? 100 : 0 }];
  }

  onChange(take: () => void): void {
    this.#changed = take;
  }

  close(): void {
    this.#isWanted = false;
    this.#changed();
  }
}

const market = await Market.open();
try {
  const { chain, folder } = market;
  const seller = await startSeller({
    rpcUrl: chain.rpcUrl,
    dataDirectory: folder,
    receiverKey: chain.receiverKey,
    facilitatorKey: chain.facilitatorKey,
    token: chain.token,
    goods: { unit: "s", resources: [{ path: "/v1/session", description: "seconds of a session" }] },
    tariff: flatTariff(PRICE),
  });
  market.add(seller);
  const gateway = await market.openGateway(seller.url);

  const clock = systemClock();
  const key = openKey(randomBytes(32));
  const gatewayPublicKey = fromHex(gateway.publicKey);
  const session = new Session(clock);
  const wish = new Wish();
  const lampSettings = settingsOn(chain);
  const host = startHost({
    settings: {
      ...lampSettings,
      policy: { ...lampSettings.policy, unit: "s", priceCeiling: 2 * PRICE },
      // What it uses in an hour, in the place of a lamp's milliwatts.
      ratedMilliwatts: SECONDS_PER_HOUR,
      meter: { rollOverAt: 0, powerMaxMilliwatts: SECONDS_PER_HOUR },
    },
    key,
    gatewayPublicKey,
    clock,
    chainSeconds: clock.wallSeconds,
    random: Math.random,
    meter: session,
    lamp: session,
    journal: openJournal(`${folder}/session.journal`),
    link: openMqttLink({
      brokerUrl: gateway.brokerUrl,
      protocolVersion: 4,
      key,
      gatewayPublicKey,
      keepaliveSeconds: 10,
      clock,
      random: Math.random,
      onTrouble: (text) => console.error(text),
    }),
    almanac: wish,
    describe: {
      model: "example session",
      firmware: "1",
      meter: "session clock",
      unit: "s",
      wantedUnits: 2,
    },
  });
  market.add(host);
  await until("five paid seconds", () => session.seconds() >= 5);
  wish.close();
  await until("a closed session", () => !session.isOpen);
  const seconds = session.seconds();
  const { channel } = host.state();
  console.log(
    `the session was open for ${seconds} s, opened ${session.openedTimes} times, ` +
      `and was granted ${channel?.granted} s for ${chargedTo(host)} atomic units`,
  );
} finally {
  await market.stop();
}
