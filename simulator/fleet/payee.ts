/**
 * Whom an electricity API wants to be paid, read from the payment requirements of its smallest quantum.
 */
import { request } from "undici";
import { z } from "zod";
import type { Hex } from "#payment/bytes";
import { PAYMENT_REQUIRED_HEADER, readPaymentRequiredHeader } from "#protocol/x402";

const TARIFF = z.object({ menu: z.array(z.number()).min(1) });

/** @returns the payee's address, lower case; throws when the API offers none */
export async function payeeOf(sellerUrl: string): Promise<Hex> {
  const { body } = await request(`${sellerUrl}/v1/tariff`);
  const [quantum] = TARIFF.parse(await body.json()).menu;
  const terms = await request(`${sellerUrl}/v1/energy?quantum=${quantum}`, { method: "POST" });
  await terms.body.dump();
  const header = terms.headers[PAYMENT_REQUIRED_HEADER];
  const { value, error } = readPaymentRequiredHeader(typeof header === "string" ? header : "");
  const payTo = value?.accepts[0]?.payTo;
  if (!payTo) throw new Error(`seller ${sellerUrl}: expected payment requirements, found none (${error})`);
  return payTo.toLowerCase() as Hex;
}
