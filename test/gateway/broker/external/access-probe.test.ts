// The test of a broker: may a device read messages to other devices?

import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { Aedes, type AuthenticateHandler, type AuthorizeSubscribeHandler } from "aedes";
import { afterEach, expect, test } from "vitest";
import type { Access } from "#gateway/broker/external/access-probe";
import { type ExternalBroker, openExternalBroker } from "#gateway/broker/external/external";
import { Health } from "#gateway/http/health";
import { until } from "../../fixtures.ts";

const DEVICE = "12".repeat(20);

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Rules {
  readonly authenticate?: AuthenticateHandler;
  readonly authorizeSubscribe?: AuthorizeSubscribeHandler;
}

async function brokerWith(rules: Rules): Promise<string> {
  const aedes = await Aedes.createBroker();
  Object.assign(aedes, rules);
  const server = createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    close: async () => {
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      server.close();
    },
  });
  return `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** The gateway's finding on a broker, and what it logged of it. */
async function findingOn(url: string, password: string | null) {
  const notes: string[] = [];
  const login = { username: DEVICE, password: password ?? "" };
  const broker: ExternalBroker = await openExternalBroker(
    {
      url: url.replace("//", "//gateway:right@"),
      version: 4,
      login: {},
      probe: password === null ? null : { url, login, device: DEVICE },
      clientId: "gateway",
      receiveMaximum: 100,
      share: null,
      note: (level, text, fields) => notes.push(`${level} ${text} ${fields.reason ?? ""}`.trim()),
    },
    () => {},
  );
  open.push(broker);
  let found: Access = broker.access();
  await until(
    () => {
      found = broker.access();
      return !found.reason.includes("not reached yet");
    },
    30_000,
    () => `a finding, found ${notes}`,
  );
  return { ...found, said: notes.filter((note) => / read|kept|keeps/.test(note)) };
}

const byPassword: AuthenticateHandler = (_client, user, password, done) => {
  const isGood = (user === "gateway" || user === DEVICE) && password?.toString() === "right";
  done(isGood ? null : Object.assign(new Error("no"), { returnCode: 5 }), isGood);
};
const ownTopics: AuthorizeSubscribeHandler = (client, subscription, done) => {
  const isGateway = client?.id.startsWith("gateway");
  const isOwn = subscription.topic === `x402/1/${DEVICE}/grant`;
  done(null, isGateway || isOwn ? subscription : null);
};

test("a broker at which anybody may read messages to devices is reported as open, with a warning", async () => {
  const found = await findingOn(await brokerWith({}), null);
  expect(found).toMatchObject({
    kind: "open",
    reason: "anybody without a login receives messages to another device by x402/1/+/grant",
  });
  expect(found.said).toEqual([`warn the broker lets anybody read messages to devices ${found.reason}`]);
});

test("a broker that believes any name and keeps each to its own topics is open, too", async () => {
  const anyName: Rules = {
    authenticate: (client, user, _password, done) => {
      Object.assign(client, { user });
      done(null, user !== undefined && user !== null);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const { user } = client as unknown as { user: string };
      const isOwn = user === "gateway" || subscription.topic.startsWith(`x402/1/${user}/`);
      done(null, isOwn ? subscription : null);
    },
  };
  const found = await findingOn(await brokerWith(anyName), null);
  expect(found.kind).toBe("open");
  expect(found.reason).toMatch(
    /^anybody with an invented login receives messages to another device by x402\/1\/[0-9a-f]{40}\/grant$/,
  );
});

test("a broker that admits devices alone and lets each read all is open to the account that tests it", async () => {
  const found = await findingOn(await brokerWith({ authenticate: byPassword }), "right");
  expect(found.reason).toBe(
    "the account in broker.probe receives messages to another device by x402/1/+/grant",
  );
});

test("a broker that keeps the account to its own topics is closed", async () => {
  const url = await brokerWith({ authenticate: byPassword, authorizeSubscribe: ownTopics });
  const found = await findingOn(url, "right");
  expect(found).toMatchObject({ kind: "closed", reason: "" });
  expect(found.said).toEqual(["info the broker keeps devices to their own topics"]);
});

test.each([
  [
    null,
    "a connection without a valid login receives nothing; to test what a device may read, name an account of a device in broker.probe",
  ],
  ["wrong", "the account in broker.probe: Connection refused: Not authorized"],
])("what cannot be tested is not called closed, and is said once: account %s", async (password, reason) => {
  const found = await findingOn(await brokerWith({ authenticate: byPassword }), password);
  expect(found).toMatchObject({ kind: "not-tested", reason });
  expect(found.said).toEqual([`info what the broker lets devices read was not tested ${reason}`]);
});

test("an open broker is reported in log, readiness and metrics, and takes no gateway out of service", async () => {
  const health = new Health({
    brokerIsUp: () => true,
    brokerWarning: () => "anybody without a login hears",
    clusterTrouble: () => "",
    sellers: () => [{ name: "grid", standing: "good", reason: "" }],
    tokens: [{ network: "eip155:1", asset: `0x${"a0".repeat(20)}`, lowBalanceAtomic: 0 }],
    treasuryAtomic: async () => 1,
    dataFolder: tmpdir(),
    wallSeconds: () => Date.now() / 1000,
    monotonicSeconds: () => performance.now() / 1000,
  });
  await health.look();
  expect(health.checks().broker).toEqual({ isGood: true, reason: "anybody without a login hears" });
  expect(health.isReady()).toBe(true);
});
