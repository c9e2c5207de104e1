// The general transport's rules: one id, one request, one payment, one answer; only listed origins; nothing
// that was paid for is dropped in silence.

import { expect, test } from "vitest";
import { type Fetched, GeneralTransport } from "#gateway/purchase/general/forward";
import { idIn } from "#gateway/purchase/general/message-id";
import { type ResponseMessage, readPaymentRequired, readResponse } from "#protocol/messages";
import { LEAVES, type Leaf } from "#protocol/topics";
import type { PaymentPayload } from "#protocol/x402";

const DEVICE = "12".repeat(20);
const ORIGIN = "https://api.example.org";
const REQUIRED: Fetched = { kind: "payment-required", paymentRequired: { x402Version: 2, accepts: [] } };
const SETTLEMENT = { success: true, transaction: "0x1", network: "eip155:1" };
const PAID: Fetched = { kind: "answer", status: 200, body: "good", settlement: SETTLEMENT };

function paymentOf(nonce: number): PaymentPayload {
  const accepted = {
    scheme: "exact",
    network: "eip155:1",
    amount: "1",
    asset: `0x${"c0".repeat(20)}`,
    payTo: `0x${"b0".repeat(20)}`,
    maxTimeoutSeconds: 60,
    extra: {},
  } as const;
  return { x402Version: 2, accepted, payload: { nonce } };
}

function newForward(answers: (payment: PaymentPayload | null, call: number) => Fetched | Promise<Fetched>) {
  const said: [Leaf, string][] = [];
  const calls: (PaymentPayload | null)[] = [];
  const forward = new GeneralTransport({
    devices: { publish: (_device, leaf, payload) => said.push([leaf, new TextDecoder().decode(payload)]) },
    fetch: async (_request, payment) => answers(payment, calls.push(payment)),
    origins: [ORIGIN],
  });
  const say = async (leaf: "request" | "payment", message: object): Promise<ResponseMessage | null> => {
    await forward.receive(DEVICE, leaf, new TextEncoder().encode(JSON.stringify({ v: 1, ...message })));
    const [answered, text] = said.at(-1)!;
    expect(text.length).toBeLessThanOrEqual(LEAVES[answered].bytesMax);
    if (answered === "payment-required") {
      expect(readPaymentRequired(text).error).toBeNull();
      return null;
    }
    const { message: response, error } = readResponse(text);
    expect(error).toBeNull();
    return response;
  };
  const request = (id: string, url = `${ORIGIN}/x`) => say("request", { id, method: "GET", url });
  return { say, request, calls, said, forward };
}

test("a payment presented a hundred times at once is carried once and answered alike", async () => {
  const { say, request, calls } = newForward(async (payment) => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return payment === null ? REQUIRED : PAID;
  });
  expect(await request("a")).toBeNull();
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => say("payment", { id: "a", payment: paymentOf(1) })),
  );
  for (const answer of answers)
    expect(answer).toEqual({ v: 1, id: "a", status: 200, body: "good", settlement: SETTLEMENT });
  expect(calls.filter((payment) => payment !== null)).toHaveLength(1);
});

test("another payment under a paid id, and another request under a known one, are conflicts", async () => {
  const { say, request, calls } = newForward((payment) => (payment === null ? REQUIRED : PAID));
  await request("a");
  await say("payment", { id: "a", payment: paymentOf(1) });
  expect(await say("payment", { id: "a", payment: paymentOf(2) })).toMatchObject({ status: 409 });
  expect(await request("a", `${ORIGIN}/other`)).toMatchObject({ status: 409 });
  expect(calls).toHaveLength(2);
});

test("after an answer got lost, or a settlement failed, the same payment goes again and another one does not", async () => {
  const failed: Fetched = {
    kind: "answer",
    status: 402,
    body: "{}",
    settlement: { ...SETTLEMENT, success: false },
  };
  for (const first of [{ kind: "unavailable", reason: "gone" } as const, failed]) {
    const { say, request, calls } = newForward((payment, call) =>
      payment === null ? REQUIRED : call === 2 ? first : PAID,
    );
    await request("a");
    expect(await say("payment", { id: "a", payment: paymentOf(1) })).toMatchObject({
      status: first === failed ? 402 : 504,
    });
    expect(await say("payment", { id: "a", payment: paymentOf(2) })).toMatchObject({ status: 409 });
    expect(await say("payment", { id: "a", payment: paymentOf(1) })).toMatchObject({ status: 200 });
    expect(calls).toHaveLength(3);
  }
});

test("a payment whose answer got lost and that is refused the next time is not followed by another under its id", async () => {
  // What a stock seller says of an authorization that it settled: its nonce is used.
  const { say, request, calls } = newForward((payment, call) =>
    payment !== null && call === 2 ? { kind: "unavailable", reason: "gone" } : REQUIRED,
  );
  await request("a");
  expect(await say("payment", { id: "a", payment: paymentOf(1) })).toMatchObject({ status: 504 });
  expect(await say("payment", { id: "a", payment: paymentOf(1) })).toMatchObject({ status: 402 });
  expect(await say("payment", { id: "a", payment: paymentOf(2) })).toMatchObject({ status: 409 });
  expect(calls).toHaveLength(3);
});

test("a payment that was not accepted may be followed by another", async () => {
  const { say, request } = newForward((payment, call) => (payment === null || call === 2 ? REQUIRED : PAID));
  await request("a");
  expect(await say("payment", { id: "a", payment: paymentOf(1) })).toMatchObject({ status: 402 });
  expect(await say("payment", { id: "a", payment: paymentOf(2) })).toMatchObject({ status: 200 });
});

test.each([
  "http://api.example.org/x",
  "https://api.example.org.evil.test/x",
  "https://api.example.org:444/x",
  "https://evil.test/?https://api.example.org",
  "https://api.example.org@evil.test/",
  "file:///etc/passwd",
  "not a url",
])("%s is not of a listed origin, and is not called", async (url) => {
  const { request, calls } = newForward(() => PAID);
  expect(await request("a", url)).toMatchObject({ status: 400, id: "a" });
  expect(calls).toHaveLength(0);
});

test("an answer too long is reported with its settlement, not dropped", async () => {
  for (const body of ["x".repeat(60_000), '"'.repeat(49_000)]) {
    const { say, request } = newForward((payment) =>
      payment === null ? REQUIRED : ({ ...PAID, body } as Fetched),
    );
    await request("a");
    const answer = await say("payment", { id: "a", payment: paymentOf(1) });
    expect(answer).toMatchObject({ status: 502, body: "", settlement: SETTLEMENT });
  }
});

test("requirements too long are reported, not dropped", async () => {
  const { request } = newForward(() => ({
    kind: "payment-required",
    paymentRequired: { text: "x".repeat(20_000) },
  }));
  expect(await request("a")).toMatchObject({ status: 502, id: "a" });
});

test.each([
  ["request", { id: "a", method: "PATCH", url: ORIGIN }],
  ["request", { id: "x".repeat(65), method: "GET", url: ORIGIN }],
  ["request", { id: "a", method: "GET", url: ORIGIN, more: 1 }],
  ["payment", { id: "a" }],
  ["payment", { id: "a", payment: { x402Version: 1 } }],
  ["payment", { id: "never asked", payment: paymentOf(1) }],
] as const)("a %s of %j is answered with what was expected, and nothing is called", async (leaf, message) => {
  const { say, calls } = newForward(() => PAID);
  const answer = await say(leaf, message);
  expect(answer).toMatchObject({ status: 400, body: "" });
  expect(answer!.error).toBeTruthy();
  expect(calls).toHaveLength(0);
});

test("a device's exchanges are bounded: the oldest is forgotten, and says so", async () => {
  const { say, request } = newForward((payment) => (payment === null ? REQUIRED : PAID));
  for (let number = 0; number < 9; number += 1) await request(`id ${number}`);
  expect(await say("payment", { id: "id 0", payment: paymentOf(1) })).toMatchObject({ status: 400 });
  expect(await say("payment", { id: "id 8", payment: paymentOf(1) })).toMatchObject({ status: 200 });
});

test("a malformed message is answered with its id wherever one can be read, and no inner one is taken for it", async () => {
  const deep = `${"[".repeat(8_000)}${"]".repeat(8_000)}`;
  const cases: [string, string][] = [
    ['{"v":1,"id":"a","method":"PATCH"}', "a"],
    ['{"v":2,"id":"a"}', "a"],
    ['{"id":"a"', "a"],
    [' { "v" : 1 , "url" : "x,\\"id\\":1{" , "id" : "b\\u0041\\"c" ', 'bA"c'],
    [`{"v":1,"id":"deep","payment":${deep}}`, "deep"],
    [`{"v":1,"payment":${deep},"id":"behind"}`, ""],
    ['{"v":1,"payment":{"id":"inner"}}', ""],
    ['{"id":{"id":"inner"}}', ""],
    ['[{"id":"inner"}]', ""],
    ['"id":"a"', ""],
    ['{"v":1,"id":7}', ""],
    [`{"id":"${"x".repeat(65)}"}`, ""],
    ['{"id":"\\x"}', ""],
    ["", ""],
  ];
  for (const leaf of ["request", "payment"] as const) {
    for (const [text, id] of cases) {
      const { said, forward } = newForward(() => PAID);
      await forward.receive(DEVICE, leaf, new TextEncoder().encode(text));
      expect([text.slice(0, 60), said.map(([, answer]) => JSON.parse(answer))]).toEqual([
        text.slice(0, 60),
        [{ v: 1, id, status: 400, body: "", error: expect.stringContaining(leaf) }],
      ]);
    }
  }
});

test("an id is looked for in time that grows with the text, whatever the text", () => {
  const units = ['"', " ", "\\", '"a":"b",', '"a":1,', '"id" ', "{", " :", '"\\"', "\n,", "1 "];
  const times = (length: number) =>
    units.map((unit) => {
      const text = `{${unit.repeat(length / unit.length)}`;
      const since = performance.now();
      idIn(text);
      return performance.now() - since;
    });
  times(65_536);
  // Were it quadratic, half a megabyte would take minutes.
  expect(Math.max(...times(524_288))).toBeLessThan(2_000);
});

test("what is not looked at is answered too: who is not known, and what is too much at once", () => {
  const { said, forward } = newForward(() => PAID);
  const text = new TextEncoder().encode('{"v":1,"id":"a","method":"GET","url":"x"}');
  forward.refuse(DEVICE, text, "unknown-device");
  forward.refuse(DEVICE, text, "overloaded");
  const answers = said.map(([leaf, answer]) => [leaf, readResponse(answer).message]);
  expect(answers).toMatchObject([
    ["response", { id: "a", status: 403, error: expect.stringContaining("hello") }],
    ["response", { id: "a", status: 503 }],
  ]);
});
