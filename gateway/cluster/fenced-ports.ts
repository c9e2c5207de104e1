/**
 * Ports to sellers and devices for a gateway that may lose a device to another member while it waits.
 *
 * Promise: nothing is presented or published for a device that another gateway holds by now. A seller's answer
 * after that is not stored here either: the ledger checks the holder in its own transaction.
 */
import type { Devices, Seller, SellerClient, SellerRouter } from "../purchase/ports.ts";
import type { Cluster } from "./cluster.ts";

type Holder = Pick<Cluster, "holds">;

export function fenceRouter(router: SellerRouter, cluster: Holder): SellerRouter {
  const fenced = (client: SellerClient | null) =>
    client && { ...client, seller: fenceSeller(client.seller, cluster) };
  return {
    shopFor: (device, present, isBuying) => fenced(router.shopFor(device, present, isBuying)),
    shopOf: (channel) => fenced(router.shopOf(channel)),
  };
}

function fenceSeller(seller: Seller, cluster: Holder): Seller {
  return {
    tariff: () => seller.tariff(),
    quote: (quantumAtomic) => seller.quote(quantumAtomic),
    async pay(channel, amountAtomic, payload) {
      if (cluster.holds(channel.device)) return seller.pay(channel, amountAtomic, payload);
      return { kind: "unavailable", reason: "another gateway serves this device by now" };
    },
    recover: (channel, charged, quantumAtomic) => seller.recover(channel, charged, quantumAtomic),
  };
}

export function fenceDevices(devices: Devices, cluster: Holder): Devices {
  return {
    publish(device, leaf, payload, retained) {
      if (cluster.holds(device)) devices.publish(device, leaf, payload, retained);
    },
  };
}
