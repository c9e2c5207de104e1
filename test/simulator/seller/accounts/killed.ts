// The utility is killed without warning, again and again, while it sells; what it answered stays sold, what
// it did not answer is sold by presenting the same payment again, and nothing is charged twice.

import { setImmediate } from "node:timers/promises";
import { decodePaymentRequiredHeader, encodePaymentSignatureHeader } from "@x402/core/http";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { signVoucher } from "@x402/evm/batch-settlement/client";
import { expect } from "vitest";
import type { SchemeServer } from "#simulator/seller/scheme/scheme-server";
import { bundleUtility } from "../bundle.ts";
import { type Ground, type Payer, PRICE, type Presented, prepareGround, present } from "../fixtures.ts";
import { spawnUtility, type UtilityProcess, utilityArguments } from "../process.ts";

const LAMPS = 8;
const QUANTUM = 100;
/** Lamps whose deposit is made in peace; those of the others are made under fire. */
const SETTLED_LAMPS = 6;
/** A life of the server ends in the middle of the load, after so many answers or at the latest after so long. */
const ANSWERS_PER_LIFE = (life: number) => 2 + life * 2;
const LONGEST_LIFE_MS = 2_000;
/** A buyer that goes on with its next rung only when the last one was answered. */
class Lamp {
  readonly #payer: Payer;
  readonly #template: PaymentPayload;
  readonly #channelId: `0x${string}`;
  rung = 1;
  headers: Record<string, string> | undefined;
  readonly answers = new Map<number, Presented["body"]>();
  lastHeaders: Record<string, string> | undefined;

  constructor(payer: Payer, template: PaymentPayload) {
    this.#payer = payer;
    this.#template = template;
    this.#channelId = (template.payload as { voucher: { channelId: `0x${string}` } }).voucher.channelId;
  }

  /** Buys until the server is gone, or `rungs` were climbed. */
  async buy(url: string, rungs = Number.POSITIVE_INFINITY): Promise<void> {
    while (this.rung <= rungs) {
      this.headers ??= await this.#sign();
      let answer: Presented;
      try {
        answer = await present(url, QUANTUM, this.headers);
      } catch {
        return;
      }
      expect(answer.body.error).toBeUndefined();
      expect(answer.body).toMatchObject({
        charged: this.rung * QUANTUM,
        granted: (this.rung * QUANTUM * 1_000_000) / PRICE,
      });
      this.answers.set(this.rung, answer.body);
      this.lastHeaders = this.headers;
      this.headers = undefined;
      this.rung += 1;
    }
  }

  async #sign(): Promise<Record<string, string>> {
    const accepted = this.#template.accepted as PaymentRequirements;
    const max = String(this.rung * QUANTUM);
    const voucher = await signVoucher(this.#payer.account, this.#channelId, max, accepted.network);
    const payload =
      this.rung === 1
        ? this.#template.payload
        : { type: "voucher", channelConfig: this.#template.payload.channelConfig, voucher };
    return { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader({ ...this.#template, payload }) };
  }
}

function bought(lamps: readonly Lamp[]): number {
  return lamps.reduce((sum, lamp) => sum + lamp.answers.size, 0);
}

/** What a 402 says was charged on its channel. */
function chargedIn({ required }: Presented): number {
  const { extra } = decodePaymentRequiredHeader(required!).accepts[0]!;
  return Number((extra.channelState as { chargedCumulativeAmount: string }).chargedCumulativeAmount);
}

async function newLamp(ground: Ground, url: string): Promise<Lamp> {
  const payer = await ground.payer();
  const { client, http } = payer.batch();
  const unpaid = await fetch(`${url}/v1/energy?quantum=${QUANTUM}`, { method: "POST" });
  const required = http.getPaymentRequiredResponse((name) => unpaid.headers.get(name));
  return new Lamp(payer, await client.createPaymentPayload(required));
}

export interface Counted {
  readonly answeredAtomic: number;
  readonly chargedAtomic: number;
  readonly settledAtomic: number;
}

/** Sells to lamps, killed again and again; what was answered before a kill must be answered alike after it. */
export async function killedInMidLoad(schemeServer: SchemeServer, kills: number): Promise<Counted> {
  const ground = await prepareGround();
  try {
    return await killed(ground, schemeServer, kills);
  } finally {
    await ground.stop();
  }
}

async function killed(ground: Ground, schemeServer: SchemeServer, kills: number): Promise<Counted> {
  const directory = await ground.directory();
  const args = [...(await utilityArguments(ground, directory)), "--scheme-server", schemeServer];
  const bundle = await bundleUtility(directory);
  let utility: UtilityProcess = spawnUtility(bundle, args);
  let url = await utility.ready;
  const lamps: Lamp[] = [];
  for (let lamp = 0; lamp < LAMPS; lamp += 1) lamps.push(await newLamp(ground, url));
  await Promise.all(lamps.slice(0, SETTLED_LAMPS).map((lamp) => lamp.buy(url, 1)));

  for (let kill = 0; kill < kills; kill += 1) {
    const buying = lamps.map((lamp) => lamp.buy(url));
    const target = bought(lamps) + ANSWERS_PER_LIFE(kill);
    const latestMs = Date.now() + LONGEST_LIFE_MS;
    while (bought(lamps) < target && Date.now() < latestMs) await setImmediate();
    utility.child.kill("SIGKILL");
    await Promise.all(buying);
    await utility.ended;
    utility = spawnUtility(bundle, args);
    url = await utility.ready;
    for (const lamp of lamps) {
      if (lamp.lastHeaders === undefined) continue;
      const again = await present(url, QUANTUM, lamp.lastHeaders);
      if (again.status === 200) expect(again.body).toEqual(lamp.answers.get(lamp.rung - 1));
      // The rung after it, which was not answered, was sold before the kill.
      else expect(chargedIn(again)).toBe(lamp.rung * QUANTUM);
    }
  }

  let charged = 0;
  let answered = 0;
  for (const lamp of lamps) {
    if (lamp.headers !== undefined) {
      const last = await present(url, QUANTUM, lamp.headers);
      expect(last.body).toMatchObject({ charged: lamp.rung * QUANTUM });
      lamp.rung += 1;
      answered += 1;
    }
    answered += lamp.answers.size;
    charged += (lamp.rung - 1) * QUANTUM;
  }
  utility.child.kill("SIGTERM");
  const { code, stdout } = await utility.ended;
  expect(code).toBe(0);
  const { report } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  console.info(`${kills} kills, ${LAMPS} lamps, ${answered} purchases`);
  return {
    answeredAtomic: answered * QUANTUM,
    chargedAtomic: charged,
    settledAtomic: report.settles.amountAtomic,
  };
}
