/**
 * The sellers of a run, and which of them a device pays.
 *
 * Promise: on each chain each unit has one seller, and a profile whose devices move has as many as its map; so a device's
 * chain and profile decide whom it may pay.
 */
import type { RunChain } from "../chain/open-chain.ts";
import type { Profile, Site } from "../profiles/profile.ts";
import { soldBy } from "../profiles/profiles.ts";
import { DEFAULT_MENU } from "../seller/sale/tariff.ts";
import type { RunSeller } from "./services.ts";

/**
 * On each chain a seller for each unit that devices use, and those of profiles that have their own; the first profile's
 * tariff is the run's.
 */
export function sellersOf(
  profiles: readonly Profile[],
  tariff: string,
  chains: readonly RunChain[],
): RunSeller[] {
  return chains.flatMap((chain) =>
    soldFor(profiles).map(({ profile, own }, index) => ({
      chain,
      keys: [chain, ...chain.furtherSellers][index]!,
      goods: profile.goods,
      own,
      menu: menuOf(own === null ? profiles.filter((one) => isOf(profile, one)) : [profile]),
      tariff: profile === profiles[0] ? tariff : profile.tariff,
    })),
  );
}

/** What each seller of a chain sells, in their order. Throws where there are more than a chain has accounts for. */
export function soldFor(
  profiles: readonly Profile[],
): { readonly profile: Profile; readonly own: Profile | null }[] {
  const shared = soldBy(profiles).map((profile) => ({ profile, own: null }));
  const owned = profiles.flatMap((profile) =>
    Array.from({ length: profile.sellers ?? 0 }, () => ({ profile, own: profile })),
  );
  return [...shared, ...owned];
}

function isOf({ goods }: Profile, one: Profile): boolean {
  return one.sellers === undefined && one.goods.unit === goods.unit;
}

/** The quanta of all devices that a seller sells to, the smallest first. */
function menuOf(buyers: readonly Profile[]): readonly number[] {
  const all = new Set(buyers.flatMap(({ menu = DEFAULT_MENU }) => menu));
  return [...all].sort((left, right) => left - right);
}

/** The numbers of the sellers that a device pays: chains are dealt out in turn; on each its unit decides, or its regions. */
export type SellersFor = (site: Site, device: number) => readonly number[];

export function dealer(chains: readonly RunChain[], sellers: readonly RunSeller[]): SellersFor {
  return ({ profile }, device) => {
    const chain = chains[device % chains.length];
    const isIts = ({ own, goods }: RunSeller) =>
      profile.sellers === undefined ? own === null && goods.unit === profile.goods.unit : own === profile;
    return sellers.flatMap((one, number) => (one.chain === chain && isIts(one) ? [number] : []));
  };
}

/** What each seller has to do with the devices that pay it. */
export function dealt<Member extends { readonly site: Site }, Share>(
  devices: readonly Member[],
  sellers: number,
  sellersFor: SellersFor,
  shareOf: (device: Member, nth: number) => Share | null,
): readonly (readonly Share[])[] {
  const shares = Array.from({ length: sellers }, (): Share[] => []);
  for (const [index, device] of devices.entries()) {
    for (const [nth, number] of sellersFor(device.site, index).entries()) {
      const share = shareOf(device, nth);
      if (share !== null) shares[number]!.push(share);
    }
  }
  return shares;
}
