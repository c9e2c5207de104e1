/**
 * Which addresses a name may lead to.
 *
 * Promise: a name in a configuration leads to public addresses only, whatever its name server says, unless
 * the operator said that this one is private; an address written out, and localhost, name themselves.
 */
import { type LookupAddress, lookup } from "node:dns";
import { BlockList, isIPv4, type LookupFunction } from "node:net";

const PRIVATE = new BlockList();
for (const [net, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const) {
  PRIVATE.addSubnet(net, prefix, "ipv4");
}
for (const [net, prefix] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  PRIVATE.addSubnet(net, prefix, "ipv6");
}

/** Loopback, link-local, private networks and everything else that is not the Internet's (RFC 6890). */
export function isPrivateAddress(address: string): boolean {
  return isIPv4(address) ? PRIVATE.check(address, "ipv4") : PRIVATE.check(address, "ipv6");
}

/** As dns.lookup with `all`. */
export type Resolve = (
  name: string,
  options: { readonly all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** A lookup for sockets that finds public addresses only. */
export function publicLookup(resolve: Resolve = lookup): LookupFunction {
  return (name, options, done) => {
    resolve(name, { all: true }, (error, found) => {
      if (error) return done(error, "", 0);
      const isNamed = /^localhost\.?$/i.test(name);
      const [first] = found;
      const barred = isNamed ? undefined : found.find(({ address }) => isPrivateAddress(address));
      if (barred !== undefined || first === undefined) {
        const refused: NodeJS.ErrnoException = new Error(
          `expected a public address of ${name}, found ${barred?.address ?? "none"}; if it is meant, set allowPrivate`,
        );
        return done(refused, "", 0);
      }
      if (options.all) done(null, found);
      else done(null, first.address, first.family);
    });
  };
}
