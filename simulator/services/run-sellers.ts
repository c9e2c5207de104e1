/**
 * The sellers of a run, and which of them a device pays.
 *
 * Promise: on each chain each unit has one seller, so a device's chain and unit decide whom it pays.
 */
import type { RunChain } from "../chain/open-chain.ts";
import type { Profile, Site } from "../profiles/profile.ts";
import { soldBy } from "../profiles/profiles.ts";
import { DEFAULT_MENU } from "../seller/sale/tariff.ts";
import type { RunSeller } from "./services.ts";

/** On each chain a seller for each unit that devices use; the first one's tariff is the run's. */
export function sellersOf(
  profiles: readonly Profile[],
  tariff: string,
  chains: readonly RunChain[],
): RunSeller[] {
  return chains.flatMap((chain) =>
    soldBy(profiles).map((profile, index) => ({
      chain,
      keys: [chain, ...chain.furtherSellers][index]!,
      goods: profile.goods,
      menu: menuOf(profiles.filter((one) => one.goods.unit === profile.goods.unit)),
      tariff: index === 0 ? tariff : profile.tariff,
    })),
  );
}

/** The quanta of all devices that a seller sells to, the smallest first. */
function menuOf(buyers: readonly Profile[]): readonly number[] {
  const all = new Set(buyers.flatMap(({ menu = DEFAULT_MENU }) => menu));
  return [...all].sort((left, right) => left - right);
}

/** The number of the seller that a device pays: chains are dealt out in turn, and on each its unit decides. */
export type SellerFor = (site: Site, device: number) => number;

export function dealer(chains: readonly RunChain[], sellers: readonly RunSeller[]): SellerFor {
  return ({ profile }, device) => {
    const chain = chains[device % chains.length];
    return sellers.findIndex((one) => one.chain === chain && one.goods.unit === profile.goods.unit);
  };
}

/** The devices of each seller. */
export function dealt<Member extends { readonly site: Site }>(
  devices: readonly Member[],
  sellers: number,
  sellerFor: SellerFor,
): readonly (readonly Member[])[] {
  const numbers = devices.map(({ site }, index) => sellerFor(site, index));
  return Array.from({ length: sellers }, (_, seller) => devices.filter((_one, at) => numbers[at] === seller));
}
