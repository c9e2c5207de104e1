/**
 * Where buyers reach the API: the `resource.url` of what they are asked to pay for.
 *
 * Promise: it is set by the operator, or by a proxy the operator named, and never by the client.
 */

import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { Watt402Error } from "#payment/watt402-error";

export interface PublicBaseOptions {
  /** As buyers write it, without a path's trailing slash; decides alone when given. */
  readonly publicUrl?: string | undefined;
  /** Addresses or CIDR blocks whose X-Forwarded-Proto and X-Forwarded-Host are believed. */
  readonly trustedProxies?: readonly string[] | undefined;
}

const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/;

/** @param listeningOrigin what the socket itself is called */
export function publicBase(
  options: PublicBaseOptions,
  listeningOrigin: () => string,
): (request: IncomingMessage) => string {
  const { publicUrl } = options;
  if (publicUrl !== undefined) return () => publicUrl;
  const proxies = blockListOf(options.trustedProxies ?? []);
  return ({ socket, headers }) => {
    if (proxies === undefined || !isListed(proxies, socket.remoteAddress)) return listeningOrigin();
    const host = lastOf(headers["x-forwarded-host"]);
    const protocol = lastOf(headers["x-forwarded-proto"])?.toLowerCase();
    if (host === undefined || !HOST.test(host) || (protocol !== "http" && protocol !== "https")) {
      return listeningOrigin();
    }
    return `${protocol}://${host.toLowerCase()}`;
  };
}

/** An http or https URL to be published, without its trailing slashes; throws for any other. */
export function readPublicUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && url.search === "" && url.hash === "" && url.username === "";
  if (!isPlain || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new Watt402Error(
      "config-invalid",
      "expected a URL such as https://energy.example.org, without a query or a user",
    );
  }
  return url.href.replace(/\/+$/, "");
}

/** Comma-separated addresses and CIDR blocks; throws naming the one that is none. */
export function readProxies(text: string): string[] {
  const proxies = text.split(",").map((part) => part.trim());
  blockListOf(proxies);
  return proxies;
}

function blockListOf(proxies: readonly string[]): BlockList | undefined {
  if (proxies.length === 0) return undefined;
  const list = new BlockList();
  for (const proxy of proxies) {
    const [address = "", bits, ...rest] = proxy.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    const most = family === "ipv6" ? 128 : 32;
    const prefix = bits === undefined ? most : /^[0-9]{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
    if (isIP(address) === 0 || rest.length > 0 || !(prefix <= most)) {
      throw new Watt402Error(
        "config-invalid",
        `expected addresses or CIDR blocks, found "${proxy.slice(0, 50)}"`,
      );
    }
    list.addSubnet(address, prefix, family);
  }
  return list;
}

function isListed(list: BlockList, address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
  return list.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
}

/** A proxy that adds to what it was given adds at the end. */
function lastOf(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header.at(-1) : header;
  return text?.split(",").at(-1)?.trim();
}
