/**
 * Seller and way back to devices, for a gateway that may lose the duty of a device while it waits.
 *
 * Promise: nothing is presented or published for a device that is another gateway's by now. What the
 * seller answers after that is stored by nobody here either: the ledger has a fence of its own.
 */
import type { Devices, Seller, SellerClient, SellerRouter } from "../purchase/ports.ts";
import type { Cluster } from "./cluster.ts";

export function fenceRouter(router: SellerRouter, duty: Pick<Cluster, "holds">): SellerRouter {
  const guarded = (shop: SellerClient | null) => shop && { ...shop, seller: guardSeller(shop.seller, duty) };
  return {
    clientFor: (device, present, isBuying) => guarded(router.clientFor(device, present, isBuying)),
    clientOf: (channel) => guarded(router.clientOf(channel)),
  };
}

function guardSeller(seller: Seller, duty: Pick<Cluster, "holds">): Seller {
  return {
    tariff: () => seller.tariff(),
    quote: (quantumAtomic) => seller.quote(quantumAtomic),
    async pay(channel, amountAtomic, payload) {
      if (duty.holds(channel.device)) return seller.pay(channel, amountAtomic, payload);
      return { kind: "unavailable", reason: "another gateway has the duty of this device by now" };
    },
    recover: (channel, charged, quantumAtomic) => seller.recover(channel, charged, quantumAtomic),
  };
}

export function fenceDevices(devices: Devices, duty: Pick<Cluster, "holds">): Devices {
  return {
    publish(device, leaf, payload, retained) {
      if (duty.holds(device)) devices.publish(device, leaf, payload, retained);
    },
  };
}
