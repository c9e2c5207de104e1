/**
 * The gateway as a process of the world: its own sessions, purchases, deposits, tariff watch and seller
 * client, on a simulated broker, ledger, chain and HTTP.
 *
 * Promise: killed and started again it knows what its ledger knows.
 */

import type { FundingLimits } from "#gateway/purchase/funding";
import type { Forward } from "#gateway/purchase/general/forward";
import { type SellerClient, UNTIMED } from "#gateway/purchase/ports";
import { Sessions } from "#gateway/purchase/sessions";
import { electricitySeller } from "#gateway/sellers/client/electricity-seller";
import { TariffWatch } from "#gateway/sellers/tariff-watch";
import { hmacSha256 } from "#node/key/native-hmac";
import { keyOf } from "../engine/keys.ts";
import { ProcessLifetime } from "../engine/process-lifetime.ts";
import { isVoucherSigned, type Signing, signDigest } from "../engine/signing.ts";
import type { Tables } from "../engine/tables.ts";
import type { World } from "../engine/world.ts";
import { CHAIN_ID, NETWORK, TOKEN } from "../engine/world-terms.ts";
import type { Network } from "../surroundings/faulty-network.ts";
import type { ChainModel } from "./chain.ts";
import { gatewayChain } from "./chain-ports.ts";
import type { FaultyLink } from "./faulty-link.ts";
import { SimulatedLedger } from "./ledger.ts";

interface GatewayParts {
  readonly world: World;
  readonly tables: Tables;
  readonly chain: ChainModel;
  readonly network: Network;
  readonly link: FaultyLink;
  readonly signing: Signing;
  readonly limits: FundingLimits;
  /** Unix seconds by the gateway's own clock. */
  readonly now: () => number;
  /** The gateway did something that others can see. */
  readonly acted: (what: string) => void;
}

const SELLER_URL = "http://seller.world";

/** Each look costs a world as much as a purchase: a night of looks a minute apart would be mostly looks. */
const PRICE_PAUSE_MAX_MS = 5 * 60_000;

/** A world's lights pay by frames; the general transport is not theirs. */
const NO_FORWARD: Forward = { receive: () => Promise.resolve(), refuse: () => undefined };

export class Gateway {
  private readonly parts: GatewayParts;
  private life: ProcessLifetime;
  private sessions: Sessions;

  constructor(parts: GatewayParts) {
    this.parts = parts;
    this.life = new ProcessLifetime(parts.world);
    this.sessions = this.start();
  }

  kill(): void {
    this.life.end();
    this.parts.tables.crash();
  }

  pause(forMs: number): void {
    this.life.pause(forMs);
  }

  /** Starts a new process on the ledger as it is; one that still runs is ended. */
  restart(): void {
    if (this.life.isAlive) this.kill();
    this.sessions = this.start();
  }

  /** Devices with a session. */
  get size(): number {
    return this.sessions.size;
  }

  private start(): Sessions {
    const { world, chain, network, link, signing, acted } = this.parts;
    const life = new ProcessLifetime(world);
    this.life = life;
    const http = link.from(life, () => acted("asked the seller"));
    const payable = {
      schemes: ["batch-settlement"] as const,
      tokens: [{ network: NETWORK, asset: TOKEN }],
    };
    const seller = electricitySeller(http, SELLER_URL, payable);
    const watch = new TariffWatch(
      seller,
      () => {},
      () => sessions.renewOffers(),
      {
        nowMs: () => this.parts.now() * 1000,
        after: (delayMs, act) =>
          life.after(delayMs, () => {
            world.touch();
            act();
          }),
      },
      PRICE_PAUSE_MAX_MS,
    );
    // A world has one seller: no device could go elsewhere for its refusals.
    const client: SellerClient = {
      name: "seller",
      seller,
      owns: () => true,
      refused: () => {},
      tariff: () => watch.tariff(),
      lacks: () => watch.lacks(),
      isMetered: () => watch.tariff()?.metered === true,
      reconsider: () => watch.reconsider(),
      quote: (quantumAtomic) => watch.quote(quantumAtomic),
    };
    const token = { chain: gatewayChain(chain, life), limits: this.parts.limits };
    const sessions = new Sessions(
      {
        key: keyOf("gateway"),
        hmac: hmacSha256,
        devices: {
          publish(device, leaf, payload, retained) {
            if (!life.isAlive) return;
            acted(`published ${leaf}`);
            network.publishFromGateway(device, leaf, payload, retained);
          },
        },
        router: { clientFor: () => client, clientOf: () => client },
        ledger: new SimulatedLedger(this.parts.tables, life, () => acted("wrote to the ledger")),
        treasury: {
          address: keyOf("treasury").address,
          sign: (digest) => signDigest(signing, "treasury", digest),
        },
        // One token: a world's lights pay in no other.
        findToken: () => token,
        isEnrolled: () => false,
        isSigned: ({ id, device }, { maxClaimable, signature }) =>
          isVoucherSigned(signing, `0x${device}`, CHAIN_ID, id, maxClaimable, signature),
        note: (_level, text, fields) => world.note(`gateway: ${text} ${String(fields.reason ?? "")}`),
        observe: () => {},
        timing: UNTIMED,
        counts: { hellos: 0, offers: 0, pays: 0, grants: 0, refusals: 0, dropped: 0 },
        now: this.parts.now,
      },
      NO_FORWARD,
      { devicesMax: 10_000, purchasesMax: 1000 },
    );
    network.attachGateway(life, (device, leaf, payload) => sessions.receive(device, leaf, payload));
    return sessions;
  }
}
