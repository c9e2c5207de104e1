// The seller's manners: towards browsers, proxies, clients of other versions, and its operator.

import { connect, createServer, type Server, type Socket } from "node:net";
import { decodePaymentRequiredHeader } from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleUtility } from "./bundle.ts";
import { type Ground, prepareGround, present, signPayment } from "./fixtures.ts";
import { spawnUtility, utilityArguments } from "./process.ts";

let ground: Ground;
let bundle: string;
beforeAll(async () => {
  ground = await prepareGround();
  bundle = await bundleUtility(await ground.directory());
});
afterAll(() => ground.stop());

const resourceIn = (required: string | null) => decodePaymentRequiredHeader(required!).resource!.url;

describe("the API", () => {
  test("answers a method that a path does not have with those it has, OPTIONS with 204, HEAD as GET", async () => {
    const { url } = await ground.start();
    const answers = await Promise.all(
      [
        ["GET", "/v1/energy?quantum=100"],
        ["HEAD", "/v1/energy"],
        ["DELETE", "/v1/tariff"],
        ["POST", `/v1/accounts/0x${"0".repeat(64)}`],
        ["OPTIONS", "/v1/energy?quantum=100"],
        ["HEAD", "/v1/tariff"],
        ["GET", "/nowhere"],
      ].map(([method, path]) => fetch(`${url}${path}`, { method: method! })),
    );
    expect(answers.map(({ status, headers }) => [status, headers.get("allow")])).toEqual([
      [405, "POST, OPTIONS"],
      [405, "POST, OPTIONS"],
      [405, "GET, HEAD, OPTIONS"],
      [405, "GET, HEAD, OPTIONS"],
      [204, "POST, OPTIONS"],
      [200, null],
      [404, null],
    ]);
  });

  test("lets a page of any origin call it and read x402's headers, on every way an answer is made", async () => {
    const { url } = await ground.start();
    const origin = { origin: "https://shop.example" };
    const energy = `${url}/v1/energy?quantum=100`;
    const preflight = await fetch(energy, {
      method: "OPTIONS",
      headers: { ...origin, "access-control-request-method": "POST" },
    });
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("PAYMENT-SIGNATURE");
    const buyer = (await ground.payer()).batch();
    const pay = async () => {
      const headers = { ...origin, ...(await signPayment(url, 100, buyer)) };
      const answer = await fetch(energy, { method: "POST", headers });
      const receipt = (name: string) => answer.headers.get(name);
      await buyer.http.processPaymentResult(
        await buyer.client.createPaymentPayload(
          buyer.http.getPaymentRequiredResponse((name) => unpaid.headers.get(name)),
        ),
        receipt,
        answer.status,
      );
      return answer;
    };
    const unpaid = await fetch(energy, { method: "POST", headers: origin });
    const answers = [preflight, unpaid, await pay(), await pay()];
    expect(answers.map(({ status }) => status)).toEqual([204, 402, 200, 200]);
    for (const { headers } of answers) {
      expect(headers.get("access-control-allow-origin")).toBe("*");
      for (const name of ["PAYMENT-REQUIRED", "PAYMENT-RESPONSE", "Idempotent-Replayed"]) {
        expect(headers.get("access-control-expose-headers")).toContain(name);
      }
    }
  });

  test("names to a client of version 1 the header it is paid by", async () => {
    const { url } = await ground.start();
    const answer = await present(url, 100, { "X-PAYMENT": "eyJ4NDAyVmVyc2lvbiI6MX0=" });
    expect(answer.status).toBe(402);
    expect(answer.body.error).toContain("PAYMENT-SIGNATURE of x402 version 2");
    expect(decodePaymentRequiredHeader(answer.required!).error).toBe(answer.body.error);
  });

  test("names its resource by the public URL, or as a trusted proxy says, and never as the client says", async () => {
    const forwarded = {
      "x-forwarded-proto": "https",
      "x-forwarded-host": "evil.example, energy.example:8443",
    };
    const alone = await ground.start();
    const reported = await ground.start({
      publicUrl: "https://energy.example/api",
      trustedProxies: ["127.0.0.1"],
    });
    const behind = await ground.start({ trustedProxies: ["10.0.0.0/8", "127.0.0.0/8", "::1"] });
    const elsewhere = await ground.start({ trustedProxies: ["10.0.0.0/8"] });
    const path = "/v1/energy?quantum=100";
    for (const headers of [{}, forwarded, { ...forwarded, "x-forwarded-host": "no host/at all" }]) {
      expect(resourceIn((await present(alone.url, 100, headers)).required)).toBe(alone.url + path);
      expect(resourceIn((await present(elsewhere.url, 100, headers)).required)).toBe(elsewhere.url + path);
      expect(resourceIn((await present(reported.url, 100, headers)).required)).toBe(
        `https://energy.example/api${path}`,
      );
      const expected = headers === forwarded ? "https://energy.example:8443" : behind.url;
      expect(resourceIn((await present(behind.url, 100, headers)).required)).toBe(expected + path);
    }
  });
});

describe("the process", () => {
  test("says all that is missing at once, and what a public URL or a proxy has to look like", async () => {
    const runs = await Promise.all([
      spawnUtility(bundle, []).ended,
      spawnUtility(bundle, ["--rpc", "http://127.0.0.1:1", "--data", "data"]).ended,
      spawnUtility(bundle, ["--public-url", "ftp://energy.example"]).ended,
      spawnUtility(bundle, ["--trust-proxy", "10.0.0.0/40"]).ended,
    ]);
    expect(runs.map(({ code }) => code)).toEqual([1, 1, 1, 1]);
    for (const option of ["--rpc", "--data", "--token", "--receiver-key"]) {
      expect(runs[0]!.stderr).toContain(option);
    }
    expect(runs[1]!.stderr).not.toContain("--rpc");
    expect(runs[1]!.stderr).toContain("--token ADDRESS, --receiver-key FILE or WATT402_RECEIVER_KEY");
    expect(runs[2]!.stderr).toContain("https://energy.example.org");
    expect(runs[3]!.stderr).toContain('found "10.0.0.0/40"');
  });

  test("whose node falls silent says so by its URL, sells vouchers on, and ends in time whatever hangs", async () => {
    const node = await silentable(Number(new URL(ground.anvil.rpcUrl).port));
    const args = await utilityArguments(ground, await ground.directory());
    const rpcUrl = `http://127.0.0.1:${node.port}`;
    const utility = spawnUtility(bundle, [...args, "--rpc", `${rpcUrl}/?key=a-secret`]);
    const url = await utility.ready;
    const buyer = (await ground.payer()).batch();
    expect((await buyer.fetch(`${url}/v1/energy?quantum=100`, { method: "POST" })).status).toBe(200);
    const exact = await signPayment(url, 100, (await ground.payer()).exact());
    node.fallSilent();
    const refused = await present(url, 100, exact);
    expect(refused).toMatchObject({ status: 503 });
    expect(refused.body.error).toContain(`chain ${rpcUrl} does not answer`);
    const ready = (await (await fetch(`${url}/readyz`)).json()) as Record<string, unknown>;
    expect(ready).toMatchObject({ status: "vouchers only", chain: { url: rpcUrl, isGood: false } });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect((await buyer.fetch(`${url}/v1/energy?quantum=100`, { method: "POST" })).status).toBe(200);

    const { port } = new URL(url);
    const half = connect(Number(port), "127.0.0.1");
    half.on("error", () => {});
    half.write("POST /v1/energy?quantum=100 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
    const waiting = present(url, 100, exact).catch(() => null);
    await new Promise((resolve) => half.once("connect", resolve));
    const began = Date.now();
    utility.child.kill("SIGTERM");
    const { code, stderr, stdout } = await utility.ended;
    expect(Date.now() - began).toBeLessThan(5_000);
    expect({ code, times: stderr.split("does not answer").length - 1 }).toEqual({ code: 1, times: 1 });
    expect(stdout).toContain(`"interrupted":"chain ${rpcUrl} does not answer`);
    expect(stderr + stdout).not.toContain("secret");
    await waiting;
    half.destroy();
    node.close();
  });
});

/** A TCP relay to a port of this machine that can stop carrying anything, without closing anything. */
async function silentable(target: number) {
  const sockets = new Set<Socket>();
  let isSilent = false;
  const server: Server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    near.on("data", (bytes) => isSilent || far.write(bytes));
    far.on("data", (bytes) => isSilent || near.write(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    fallSilent: () => {
      isSilent = true;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
