// A call that throws is a call that failed: the seller is tried again, however its client broke.

import { expect, test } from "vitest";
import { type AskedTariff, type Seller, UNTIMED } from "#gateway/purchase/ports";
import { FAILURES_TO_OPEN, PAUSE_MAX_MS } from "#gateway/sellers/circuit";
import { GuardedSeller } from "#gateway/sellers/guarded-seller";
import { newBench } from "../purchase/fixtures.ts";
import { testTimer } from "./timer.ts";

test("a probe that throws does not leave its seller untried for ever", async () => {
  const { seller: real } = newBench();
  let answer: () => Promise<AskedTariff> = async () => ({ tariff: null, reason: "HTTP 503" });
  const seller: Seller = {
    tariff: () => answer(),
    quote: (quantum) => real.quote(quantum),
    pay: (...payment) => real.pay(...payment),
    recover: async () => null,
  };
  const timer = testTimer();
  let probes = 0;
  const guarded = new GuardedSeller(
    seller,
    { name: "grid", callsMax: 1, queueMax: 1, awayAfterMs: 1_000 },
    {
      timer,
      note: () => {},
      timing: UNTIMED,
      holds: () => true,
      changed: () => {},
      termsTrouble: async () => "",
    },
    () => {
      probes += 1;
    },
  );
  for (let call = 0; call < FAILURES_TO_OPEN; call += 1) await guarded.tariff();
  answer = () => Promise.reject(new Error("a fault of the client"));
  timer.pass(PAUSE_MAX_MS);
  await expect(guarded.tariff()).rejects.toThrow("a fault of the client");
  timer.pass(PAUSE_MAX_MS);
  expect([probes, guarded.load()]).toMatchObject([2, { circuit: "half-open", failed: FAILURES_TO_OPEN + 1 }]);
  answer = () => real.tariff();
  await guarded.tariff();
  expect(guarded.load()).toMatchObject({ circuit: "closed", underWay: 0 });
  guarded.stop();
});
