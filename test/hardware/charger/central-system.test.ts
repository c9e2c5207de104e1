import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RPCClient } from "ocpp-rpc";
import { generate } from "selfsigned";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { MESSAGES_MAX } from "#hardware/charger/ocpp/central-system";
import { OCPP_21 } from "#hardware/charger/ocpp/schemas-2.1";
import { type OpenedCharger, openCharger } from "#hardware/charger/open-charger";
import { systemClock } from "#node/clock";
import { until } from "../../device/node/broker.ts";

const PASSWORD = "0123456789abcdef";

let folder: string;
const opened: OpenedCharger[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "csms-"));
  writeFileSync(join(folder, "password"), PASSWORD, { mode: 0o600 });
});
afterEach(async () => {
  for (const { charger } of opened.splice(0)) await charger.load.close();
  rmSync(folder, { recursive: true });
});

async function open(more: Readonly<Record<string, unknown>> = {}) {
  const table = {
    host: "127.0.0.1",
    port: 0,
    identity: "CP-7",
    password_file: join(folder, "password"),
    ...more,
  };
  const one = openCharger(table, { clock: systemClock(), wantedUnits: 1e6, stateDirectory: folder });
  opened.push(one);
  return { charger: one.charger, port: await one.listen() };
}

interface Client {
  connect(): Promise<unknown>;
  call(method: string, params: unknown): Promise<unknown>;
  close(options: object): Promise<unknown>;
  handle(answer: (call: { readonly method: string; readonly params: unknown }) => unknown): void;
}

function station(port: number | null, more: Readonly<Record<string, unknown>> = {}): Client {
  const options = {
    endpoint: `ws://127.0.0.1:${port}`,
    identity: "CP-7",
    password: PASSWORD,
    protocols: ["ocpp1.6"],
    strictModeValidators: [OCPP_21],
    reconnect: false,
    ...more,
  };
  const client = new RPCClient(
    options as unknown as ConstructorParameters<typeof RPCClient>[0],
  ) as unknown as Client;
  client.handle(() => ({ status: "Accepted" }));
  return client;
}

const BOOT = { chargePointVendor: "Somebody", chargePointModel: "never heard of" };

describe("the central system of one charge point", () => {
  it("lets one charge point in by its password and identity, whatever its model, and names everybody else", async () => {
    const { charger, port } = await open();
    expect(charger.load.trouble()).toMatch(/expected the charge point CP-7 to be connected, found nobody/);
    const refused: readonly [object, RegExp][] = [
      [{ password: "another" }, /password: expected that of "CP-7"/],
      [{ password: null }, /password: expected that of "CP-7"/],
      [{ identity: "CP-8" }, /expected the charge point "CP-7", found "CP-8"/],
      [{ protocols: ["ocpp1.5"] }, /expected one of ocpp2.1, ocpp2.0.1, ocpp1.6, found ocpp1.5/],
    ];
    for (const [more, said] of refused) {
      await expect(station(port, more as Record<string, unknown>).connect()).rejects.toThrow();
      expect(charger.remark()).toMatch(said);
    }
    const client = station(port);
    await client.connect();
    expect(await client.call("BootNotification", BOOT)).toMatchObject({ status: "Accepted" });
    expect(charger.load.trouble()).toBeNull();
    expect(charger.meter.notes().join()).toContain("OCPP 1.6, Somebody never heard of");
    await client.close({ force: true });
    await until("it is missed", () => charger.load.trouble() !== null);
  });

  it("puts a charge point that connects again in the place of its older connection", async () => {
    const { charger, port } = await open();
    const [first, second] = [station(port), station(port)];
    await first.connect();
    await second.connect();
    await expect(first.call("Heartbeat", {})).rejects.toThrow();
    expect(await second.call("Heartbeat", {})).toHaveProperty("currentTime");
    expect(charger.remark()).toContain("connected again");
    await second.close({ force: true });
  });

  it("answers what breaks its schema with an error that reaches nothing, in each version", async () => {
    const { charger, port } = await open();
    for (const [protocol, method, params] of [
      ["ocpp1.6", "StartTransaction", { connectorId: 1, idTag: "x", meterStart: "0", timestamp: "now" }],
      ["ocpp2.0.1", "TransactionEvent", { eventType: "Started", timestamp: "2026-11-20T20:00:00Z" }],
      ["ocpp2.1", "StatusNotification", { evseId: 1, connectorId: 1, connectorStatus: "Gone" }],
    ] as const) {
      const client = station(port, { protocols: [protocol] });
      await client.connect();
      await expect(client.call(method, params)).rejects.toMatchObject({ rpcErrorCode: expect.any(String) });
      await expect(client.call("NoSuchMethod", {})).rejects.toMatchObject({ rpcErrorCode: "NotImplemented" });
      expect(await client.call("Heartbeat", {})).toHaveProperty("currentTime");
      await client.close({ force: true });
    }
    let shown: unknown = "nothing";
    charger.meter.read((reading) => {
      shown = reading;
    });
    expect(shown).toBeNull();
  });

  it("ends a connection whose message is too long, or whose messages are a storm", async () => {
    const { charger, port } = await open();
    const connect = () =>
      new WebSocket(`ws://127.0.0.1:${port}/CP-7`, ["ocpp1.6"], {
        headers: { authorization: `Basic ${Buffer.from(`CP-7:${PASSWORD}`).toString("base64")}` },
      });
    const long = connect();
    const ended = new Promise<number>((resolve) => long.on("close", resolve));
    long.on("open", () => long.send(`[2,"1","Heartbeat",${" ".repeat(70_000)}{}]`));
    expect(await ended).toBe(1009);
    const storm = connect();
    const over = new Promise<number>((resolve) => storm.on("close", resolve));
    storm.on("open", () => {
      for (let count = 0; count < MESSAGES_MAX; count++) storm.send(`[2,"${count}","Heartbeat",{}]`);
    });
    await over;
    expect(charger.remark()).toContain("found a storm");
  });

  it("survives an address that is none, and says when another one has its port", async () => {
    const { charger, port } = await open();
    const odd = new WebSocket(`ws://127.0.0.1:${port}/%zz`, ["ocpp1.6"]);
    await new Promise<void>((resolve) => odd.on("error", () => resolve()));
    expect(charger.load.trouble()).toContain("found nobody");
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const taken = (other.address() as { readonly port: number }).port;
    const second = await open({ port: taken });
    expect(second.port).toBeNull();
    expect(second.charger.load.trouble()).toContain(
      `expected to listen on 127.0.0.1:${taken}, found EADDRINUSE`,
    );
    other.close();
  });

  it("speaks TLS with the certificate that is named", async () => {
    const pems = await generate([{ name: "commonName", value: "127.0.0.1" }], { keySize: 2048 });
    writeFileSync(join(folder, "cert.pem"), pems.cert);
    writeFileSync(join(folder, "key.pem"), pems.private, { mode: 0o600 });
    const tls = { cert_file: join(folder, "cert.pem"), key_file: join(folder, "key.pem") };
    const { charger, port } = await open({ tls });
    const wsOpts = { ca: pems.cert, checkServerIdentity: () => undefined };
    const client = station(port, { endpoint: `wss://127.0.0.1:${port}`, wsOpts, protocols: ["ocpp2.1"] });
    await client.connect();
    const boot = { reason: "PowerUp", chargingStation: { model: "m", vendorName: "v" } };
    expect(await client.call("BootNotification", boot)).toMatchObject({ status: "Accepted" });
    expect(charger.load.trouble()).toBeNull();
    await client.close({ force: true });
  });
});
