// A device written from device/protocol/x402-over-mqtt.md alone: it shares no code with the project, and a test holds that.

import { Connection, type Login, type Message } from "./mqtt.ts";
import {
  accountOf,
  addressOf,
  authorizationDigest,
  type Bytes,
  bytesOf,
  type ChannelConfig,
  channelIdOf,
  type Domain,
  hexOf,
  type Identity,
  identityOf,
  nonceOf,
  openObject,
  sealFrame,
  sealObject,
  signedLogin,
  tagKeyOf,
  tagOf,
  voucherDigest,
} from "./signing.ts";

/** What its owner set it up for. */
export interface Setup {
  readonly host: string;
  readonly port: number;
  readonly secret: Bytes;
  readonly gatewayPublicKey: string;
  readonly network: string;
  readonly asset: string;
  readonly amountMax: number;
  readonly priceMax: number;
}

export interface Requirements {
  readonly scheme: string;
  readonly network: string;
  readonly amount: string;
  readonly asset: string;
  readonly payTo: string;
  readonly maxTimeoutSeconds: number;
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface Offer {
  readonly revision: number;
  readonly resource: string;
  readonly requirements: Requirements;
  readonly channel: ChannelConfig | null;
  readonly unit: string;
  readonly pricePerMillionUnits: number;
  readonly balance: number;
  readonly charged: number;
  readonly granted: number;
  readonly epoch?: number;
}

export interface Grant {
  readonly status: number;
  readonly channelTag: string;
  readonly charged: number;
  readonly granted: number;
  readonly price: number;
  readonly validUntil: number;
}

export interface Answer {
  readonly leaf: "payment-required" | "response";
  readonly id: string;
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
  readonly settlement?: unknown;
  readonly paymentRequired?: { readonly accepts: readonly Requirements[] };
}

const DOWN = ["offer", "grant", "payment-required", "response"];
const now = () => Math.floor(Date.now() / 1000);
const lower = (text: string) => text.toLowerCase();

export class PageDevice {
  readonly identity: Identity;
  readonly tagKey: Bytes;
  readonly gatewayAddress: string;
  /** What was received and fits nothing. */
  dropped = 0;
  offer: Offer | null = null;
  charged = 0;
  granted = 0;
  register = 1_000;
  readonly #setup: Setup;
  #connection: Connection | null = null;
  readonly #grants: Grant[] = [];
  readonly #answers: Answer[] = [];
  #wake: () => void = () => {};

  constructor(setup: Setup) {
    this.#setup = setup;
    this.identity = identityOf(setup.secret);
    this.tagKey = tagKeyOf(this.identity.sharedX(setup.gatewayPublicKey));
    this.gatewayAddress = addressOf(bytesOf(setup.gatewayPublicKey));
  }

  topic(leaf: string): string {
    return `x402/1/${this.identity.name}/${leaf}`;
  }

  login(): Login {
    const { name } = this.identity;
    const will = { topic: this.topic("state"), payload: '{"v":1,"status":"lost"}' };
    const password = signedLogin(this.identity, this.gatewayAddress, now());
    return { clientId: name, username: name, password, will };
  }

  /** 0, or why the broker refuses. */
  async connect(instead: Partial<Login> = {}): Promise<number> {
    const { host, port } = this.#setup;
    const opened = await Connection.open(host, port, { ...this.login(), ...instead });
    if (typeof opened === "number") return opened;
    this.#connection = opened;
    opened.onMessage((message) => this.#hear(message));
    const granted = await opened.subscribe(DOWN.map((leaf) => this.topic(leaf)));
    if (granted.some((code) => code > 1)) throw new Error(`expected its leaves, found ${granted.join(", ")}`);
    return 0;
  }

  get connection(): Connection {
    return this.#connection!;
  }

  async hello(wantedUnits: number): Promise<void> {
    const described = { model: "Gerät ❤", firmware: "1", meter: "none", unit: "mWh" };
    const { publicKey } = this.identity;
    const hello = { v: 1, publicKey, ...described, wantedUnits, register: this.register };
    await this.connection.publish(this.topic("hello"), sealObject(this.tagKey, "hello", hello));
  }

  /** The first offer above a revision. */
  async offerAfter(revision: number): Promise<Offer> {
    await this.#until(() => this.offer !== null && this.offer.revision > revision);
    return this.offer!;
  }

  // ---- the compact transport ----

  /** Channel id, or for exact the account. */
  get id(): string {
    const { channel, requirements, epoch } = this.offer!;
    if (channel !== null) return channelIdOf(channel, this.#chainId());
    const { payTo, asset } = requirements;
    return accountOf(this.identity.address, payTo, this.#chainId(), asset, epoch ?? 0);
  }

  nextRung(): number {
    return this.charged + Number(this.offer!.requirements.amount);
  }

  /** The bytes of a rung's PAY. */
  payFrame(isAgain: boolean, rung = this.nextRung()): Bytes {
    const offer = this.offer!;
    if (rung > offer.balance) throw new Error(`expected ${rung} within the balance ${offer.balance}`);
    const isExact = offer.requirements.scheme === "exact";
    const validBefore = isExact ? now() + 300 : 0;
    const signature = this.identity.sign(isExact ? this.#transfer(rung, validBefore) : this.#voucher(rung));
    const frame = Buffer.alloc(isExact ? 87 : 83);
    frame[0] = isExact ? 0x13 : 0x11;
    frame[1] = isAgain ? 1 : 0;
    frame.set(bytesOf(this.id).slice(0, 4), 2);
    frame.writeUIntBE(rung, 6, 6);
    frame.writeUIntBE(this.register, 12, 6);
    if (isExact) frame.writeUInt32BE(validBefore, 18);
    frame.set(signature, isExact ? 22 : 18);
    return sealFrame(this.tagKey, "pay", frame);
  }

  async pay(frame: Bytes): Promise<void> {
    await this.connection.publish(this.topic("pay"), frame);
  }

  async nextGrant(): Promise<Grant> {
    await this.#until(() => this.#grants.length > 0);
    return this.#grants.shift()!;
  }

  /** One purchase: its rung, again and again until its grant reaches it. */
  async buy(): Promise<Grant> {
    const rung = this.nextRung();
    for (let attempt = 0; attempt < 10; attempt += 1) {
      await this.pay(this.payFrame(attempt > 0, rung));
      let grant = await this.nextGrant();
      // Echoes of rungs before.
      while (grant.status === 0 && grant.charged < rung) grant = await this.nextGrant();
      if (grant.charged >= rung) return grant;
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
    }
    throw new Error(`expected a grant of ${rung}, found ${this.charged}`);
  }

  // ---- the general transport ----

  async ask(leaf: "request" | "payment", text: string): Promise<Answer> {
    await this.connection.publish(this.topic(leaf), text);
    await this.#until(() => this.#answers.length > 0);
    return this.#answers.shift()!;
  }

  request(id: string, url: string): Promise<Answer> {
    return this.ask("request", JSON.stringify({ v: 1, id, method: "POST", url }));
  }

  /** A payload by exact, for requirements that the resource named. */
  exactPayment(url: string, accepted: Requirements, nonce: string): object {
    const value = Number(accepted.amount);
    const validBefore = now() + accepted.maxTimeoutSeconds;
    const { address } = this.identity;
    const authorization = { from: address, to: accepted.payTo, value, validBefore, nonce };
    const digest = authorizationDigest(this.#tokenDomain(accepted), authorization);
    const payload = {
      signature: hexOf(this.identity.sign(digest)),
      authorization: {
        from: address,
        to: accepted.payTo,
        value: String(value),
        validAfter: "0",
        validBefore: String(validBefore),
        nonce,
      },
    };
    return { x402Version: 2, resource: { url }, accepted, payload };
  }

  // ---- what it signs ----

  #chainId(network = this.#setup.network): number {
    return Number(network.slice("eip155:".length));
  }

  #tokenDomain({ extra, network, asset }: Requirements): Domain {
    const [name, version] = [String(extra.name), String(extra.version)];
    return { name, version, chainId: this.#chainId(network), contract: asset };
  }

  #voucher(rung: number): Bytes {
    return voucherDigest(this.id, rung, this.#chainId());
  }

  #transfer(rung: number, validBefore: number): Bytes {
    const { requirements } = this.offer!;
    return authorizationDigest(this.#tokenDomain(requirements), {
      from: this.identity.address,
      to: requirements.payTo,
      value: rung - this.charged,
      validBefore,
      nonce: nonceOf(this.id, this.charged),
    });
  }

  // ---- what it hears ----

  #hear({ topic, payload }: Message): void {
    const leaf = topic.split("/").at(-1)!;
    if (topic !== this.topic(leaf)) this.dropped += 1;
    else if (leaf === "offer") this.#takeOffer(payload);
    else if (leaf === "grant") this.#takeGrant(payload);
    else if (leaf === "response" || leaf === "payment-required") {
      this.#answers.push({ leaf, ...(JSON.parse(payload.toString()) as Omit<Answer, "leaf">) });
    }
    this.#wake();
  }

  #takeOffer(payload: Buffer): void {
    const offer = openObject(this.tagKey, "offer", payload) as Offer | null;
    if (offer === null) {
      this.dropped += 1;
      return;
    }
    if (offer.revision <= (this.offer?.revision ?? 0)) return;
    const { requirements, channel } = offer;
    const { network, asset, amountMax, priceMax } = this.#setup;
    const amount = Number(requirements.amount);
    const isOurs =
      channel === null
        ? requirements.scheme === "exact"
        : requirements.scheme === "batch-settlement" &&
          lower(channel.payerAuthorizer) === this.identity.address &&
          lower(channel.receiver) === lower(requirements.payTo) &&
          lower(channel.token) === lower(asset);
    const fits =
      requirements.network === network &&
      lower(requirements.asset) === lower(asset) &&
      offer.unit === "mWh" &&
      amount >= 1 &&
      amount <= amountMax &&
      offer.pricePerMillionUnits <= priceMax;
    if (!isOurs || !fits) throw new Error(`expected an offer that fits, found ${JSON.stringify(offer)}`);
    this.offer = offer;
    this.charged = Math.max(this.charged, offer.charged);
    this.granted = Math.max(this.granted, offer.granted);
  }

  #takeGrant(payload: Buffer): void {
    const frame = payload.subarray(0, 26);
    if (payload.length !== 42 || !payload.subarray(26).equals(tagOf(this.tagKey, "grant", frame))) {
      this.dropped += 1;
      return;
    }
    const grant: Grant = {
      status: frame[1]!,
      channelTag: hexOf(frame.subarray(2, 6)),
      charged: frame.readUIntBE(6, 6),
      granted: frame.readUIntBE(12, 6),
      price: frame.readUInt32BE(18),
      validUntil: frame.readUInt32BE(22),
    };
    this.charged = Math.max(this.charged, grant.charged);
    this.granted = Math.max(this.granted, grant.granted);
    this.#grants.push(grant);
  }

  /** Looks again with every message. */
  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
