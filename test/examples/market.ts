/**
 * What the examples buy on: a development chain, an electricity seller, gateways.
 *
 * Promise: `stop` ends all of it and removes its files.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Gateway, loadConfig, startGateway } from "watt402/gateway";
import { flatTariff, type Seller, startSeller } from "watt402/seller";
import { type DevelopmentChain, startDevelopmentChain } from "watt402/simulator";

/** Atomic units of the token for a kilowatt-hour, which is a million metered milliwatt-hours: $0.20. */
export const PRICE = 200_000;

interface Part {
  stop(): Promise<unknown>;
}

export class Market {
  readonly chain: DevelopmentChain;
  readonly folder = mkdtempSync(join(tmpdir(), "watt402-example-"));
  readonly #parts: Part[] = [];

  private constructor(chain: DevelopmentChain) {
    this.chain = chain;
  }

  static async open(): Promise<Market> {
    const market = new Market(await startDevelopmentChain());
    writeFileSync(join(market.folder, "treasury.key"), market.chain.treasuryKey, { mode: 0o600 });
    return market;
  }

  async sellElectricity(): Promise<Seller> {
    const seller = await startSeller({
      rpcUrl: this.chain.rpcUrl,
      dataDirectory: this.folder,
      receiverKey: this.chain.receiverKey,
      facilitatorKey: this.chain.facilitatorKey,
      token: this.chain.token,
      tariff: flatTariff(PRICE),
    });
    this.add(seller);
    return seller;
  }

  /** A gateway before this seller; `settings` and `broker` are those of `watt402-gateway --set`. */
  async openGateway(
    sellerUrl: string,
    settings: readonly string[] = [],
    broker: readonly string[] = ["broker.port=0"],
  ): Promise<Gateway> {
    const { chain, folder } = this;
    const { config } = loadConfig({
      file: null,
      environment: {},
      settings: [
        `gateway.key=${folder}/gateway.key`,
        `gateway.data=${folder}/gateway`,
        `treasury.key=${folder}/treasury.key`,
        `chain.rpc=${chain.rpcUrl}`,
        `seller.url=${sellerUrl}`,
        `seller.network=eip155:${chain.chainId}`,
        `seller.asset=${chain.token}`,
        ...broker,
        ...settings,
      ],
    });
    const mayCreateKeys = true;
    const gateway = await startGateway(config, () => {}, mayCreateKeys);
    this.add(gateway);
    return gateway;
  }

  add(part: Part): void {
    this.#parts.push(part);
  }

  /** Stops one part before the others. */
  async remove(part: Part): Promise<void> {
    this.#parts.splice(this.#parts.indexOf(part), 1);
    await part.stop();
  }

  /** What was opened last ends first. */
  async stop(): Promise<void> {
    for (const part of this.#parts.toReversed()) await part.stop();
    await this.chain.stop();
    rmSync(this.folder, { recursive: true });
  }
}

/** Looks again until it is so; rejects with what was expected. */
export async function until(expected: string, isSo: () => boolean, limitMs = 60_000): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!isSo()) {
    if (Date.now() > endMs) throw new Error(`expected within ${limitMs} ms: ${expected}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
