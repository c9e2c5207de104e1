// A name leads to no private address, unless the operator says that it is meant.

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { generate } from "selfsigned";
import { afterEach, expect, test } from "vitest";
import { isPrivateAddress, publicLookup, type Resolve } from "#gateway/sellers/client/public-address";
import { type HttpOptions, openHttp } from "#gateway/sellers/client/seller-http";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const OPTIONS: HttpOptions = {
  connections: 2,
  timeoutMs: 5_000,
  origins: [],
  allowPrivate: false,
  authorities: null,
};

const open = (options: Partial<HttpOptions>) => {
  const http = openHttp({ ...OPTIONS, ...options });
  closing.push(() => http.close());
  return http;
};

function lookedUp(name: string, addresses: readonly string[]): Promise<string> {
  const resolve: Resolve = (_name, _options, done) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  return new Promise((answer) =>
    publicLookup(resolve)(name, {}, (error, found) => answer(error ? error.message : String(found))),
  );
}

test("what is not the Internet's is private, mapped or not; what is, is not", () => {
  const octet = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(octet, octet, octet, (b, c, d) => {
      for (const first of [10, 127, 0]) {
        expect(isPrivateAddress(`${first}.${b}.${c}.${d}`)).toBe(true);
        expect(isPrivateAddress(`::ffff:${first}.${b}.${c}.${d}`)).toBe(true);
      }
      expect(isPrivateAddress(`192.168.${c}.${d}`)).toBe(true);
      expect(isPrivateAddress(`8.${b}.${c}.${d}`)).toBe(false);
    }),
  );
  for (const address of ["::1", "::", "fe80::1", "fd00::1", "169.254.169.254", "100.64.0.1", "172.31.0.1"]) {
    expect([address, isPrivateAddress(address)]).toEqual([address, true]);
  }
  for (const address of ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "100.128.0.1"]) {
    expect([address, isPrivateAddress(address)]).toEqual([address, false]);
  }
});

test("a name is refused as soon as one of its addresses is private; localhost names itself", async () => {
  expect(await lookedUp("api.example.org", ["93.184.216.34"])).toBe("93.184.216.34");
  expect(await lookedUp("api.example.org", ["93.184.216.34", "10.0.0.1"])).toMatch(
    /expected a public address of api.example.org, found 10.0.0.1; if it is meant, set allowPrivate/,
  );
  expect(await lookedUp("api.example.org", [])).toContain("found none");
  expect(await lookedUp("localhost", ["127.0.0.1"])).toBe("127.0.0.1");
});

test("a call goes to the origins that are named and to no other", async () => {
  const server = createServer((_request, response) => response.end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(async () => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await open({ origins: [`${url}/v1`] }).call("GET", `${url}/x`, null)).toMatchObject({
    kind: "paid",
  });
  expect(await open({ origins: ["http://127.0.0.1:9"] }).call("GET", `${url}/x`, null)).toMatchObject({
    kind: "unavailable",
    reason: expect.stringContaining(
      "expected a resource of http://127.0.0.1:9, found one of http://127.0.0.1:",
    ),
  });
});

test("a certificate is believed when an authority that is known, or named, signed it for this host", async () => {
  const pems = await generate([{ name: "commonName", value: "localhost" }], {
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] }],
  });
  const server = createTlsServer({ key: pems.private, cert: pems.cert }, (_request, response) => {
    response.end("{}");
  }).listen(0);
  await once(server, "listening");
  closing.push(async () => void server.close());
  const { port } = server.address() as AddressInfo;
  const url = `https://localhost:${port}/`;
  expect(await open({ origins: [url] }).call("GET", url, null)).toMatchObject({
    kind: "unavailable",
    reason: expect.stringMatching(/self-signed|SELF_SIGNED|certificate/),
  });
  const named = { authorities: pems.cert };
  expect(await open({ origins: [url], ...named }).call("GET", url, null)).toMatchObject({ kind: "paid" });
  const byAddress = `https://127.0.0.1:${port}/`;
  expect(await open({ origins: [byAddress], ...named }).call("GET", byAddress, null)).toMatchObject({
    kind: "unavailable",
    reason: expect.stringMatching(/ALTNAME|altnames/),
  });
});
