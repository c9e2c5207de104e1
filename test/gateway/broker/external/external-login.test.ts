// How the gateway proves itself to a broker of others: real TLS, and files as an operator keeps them.

import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { Aedes } from "aedes";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openExternalBroker } from "#gateway/broker/external/external";
import { readExternalFiles } from "#gateway/config/external-broker-section";
import { until } from "../../fixtures.ts";
import { type Authority, type Issued, newAuthority } from "./authority.ts";

let authority: Authority;
let first: Issued;
let second: Issued;
let server: Issued;
const folder = mkdtempSync(join(tmpdir(), "watt402-login-"));
const [certFile, keyFile, passwordFile] = ["gateway.crt", "gateway.key", "password"].map((name) =>
  join(folder, name),
) as [string, string, string];

const open: { close(): Promise<unknown> }[] = [];
beforeAll(async () => {
  authority = await newAuthority();
  [first, second] = [await authority.issue("gateway"), await authority.issue("gateway renewed")];
  server = await authority.issue("localhost");
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});
afterAll(async () => {
  await authority.remove();
  rmSync(folder, { recursive: true });
});

function keep({ certFile: cert, keyFile: key }: Issued, password: string): void {
  copyFileSync(key, keyFile);
  copyFileSync(cert, certFile);
  chmodSync(keyFile, 0o600);
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
}

/** A broker that lets in who shows a certificate of the authority, and remembers who came with what. */
async function askingForCertificates() {
  const came: string[] = [];
  const names = new WeakMap<object, string>();
  const aedes = await Aedes.createBroker();
  aedes.authenticate = ({ conn }, user, password, done) => {
    if (conn !== undefined && !came.some((name) => name.startsWith(`${names.get(conn)} `)))
      came.push(`${names.get(conn)} ${user} ${password}`);
    done(null, true);
  };
  const sockets = new Set<TLSSocket>();
  const { cert, key } = server;
  const listener = createServer(
    { cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
    (socket) => {
      sockets.add(socket);
      names.set(socket, String(socket.getPeerCertificate().subject.CN));
      aedes.handle(socket);
    },
  );
  listener.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  open.push({
    close: async () => {
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  });
  const { port } = listener.address() as { port: number };
  return { came, sockets, url: `mqtts://localhost:${port}` };
}

test("the gateway shows its certificate to a broker that asks for one, and the renewed one on its next connection", async () => {
  keep(first, "one");
  const broker = await askingForCertificates();
  const notes: string[] = [];
  const login = { username: "gate", passwordFile, caFile: authority.certFile, certFile, keyFile };
  const external = await openExternalBroker(
    {
      url: broker.url,
      version: 4,
      login,
      probe: null,
      clientId: "gateway",
      receiveMaximum: 100,
      share: null,
      note: (_level, text) => notes.push(text),
    },
    () => {},
  );
  open.push(external);
  const came = (name: string) =>
    until(
      () => broker.came.includes(name),
      20_000,
      () => `${name}, found ${broker.came} and ${notes}`,
    );
  await came("gateway gate one");
  await until(
    () => external.isUp(),
    20_000,
    () => "a connection",
  );
  // Half of a renewal: the pair before stays in force.
  copyFileSync(second.certFile, certFile);
  external.reload();
  expect(notes.at(-1)).toContain("could not be read again");
  keep(second, "two");
  external.reload();
  for (const socket of broker.sockets) socket.destroy();
  await came("gateway renewed gate two");
});

const EXTERNAL = { kind: "external", url: "mqtts://b.example.org", version: "auto" } as const;

test("files that do not fit are reported by their member before anything starts", () => {
  keep(first, "one");
  const reading = (login: object) => () => readExternalFiles({ ...EXTERNAL, ...login });
  expect(reading({ certFile, keyFile, passwordFile, username: "gate" })()).toEqual({ probe: null });
  expect(reading({ certFile: join(folder, "none"), keyFile })).toThrow(
    `broker.certFile: ${join(folder, "none")}: cannot be read (ENOENT)`,
  );
  expect(reading({ certFile, keyFile: join(folder, "none") })).toThrow(
    `broker.keyFile: ${join(folder, "none")}: expected a private key in PEM, found no file`,
  );
  expect(reading({ caFile: keyFile, certFile, keyFile: certFile })).toThrow("expected mode 0600, found 0644");
  expect(reading({ certFile: second.certFile, keyFile })).toThrow(
    `broker: expected a certificate and its key, found ${second.certFile} and ${keyFile}`,
  );
  chmodSync(keyFile, 0o640);
  expect(reading({ certFile, keyFile })).toThrow(
    `broker.keyFile: ${keyFile}: expected mode 0600, found 0640`,
  );
  expect(reading({ passwordFile: join(folder, "none") })).toThrow("broker.passwordFile: ");
  chmodSync(keyFile, 0o600);
  expect(reading({ probe: { certFile, keyFile } })).toThrow(
    "broker.probe: expected a device's name, 40 lower-case hex digits, as username or as the certificate's common name",
  );
});
