/**
 * Whom an electricity API wants to be paid, read from the payment requirements of its smallest quantum.
 */

import { request } from "undici";
import { z } from "zod";
import type { Hex } from "#payment/bytes";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { PAYMENT_REQUIRED_HEADER, readPaymentRequiredHeader } from "#protocol/x402";

const TARIFF = z.object({
  menu: z.array(z.number().int().positive()).min(1),
  resources: z.array(z.string()).optional(),
});

const ANSWER_MS = 10_000;

/** @returns the payee's address, lower case; throws one line when no electricity API is there, or it asks for nothing */
export async function payeeOf(sellerUrl: string): Promise<Hex> {
  const tariff = await ask(sellerUrl, "/v1/tariff", "GET");
  const menu = TARIFF.safeParse(jsonOf(tariff.text));
  if (!menu.success) {
    throw new Watt402Error(
      "unexpected-answer",
      `seller ${sellerUrl}: expected a tariff with a menu at /v1/tariff, found HTTP ${tariff.status} without; ` +
        "is it an electricity API?",
    );
  }
  const terms = await ask(
    sellerUrl,
    `${menu.data.resources?.[0] ?? "/v1/energy"}?quantum=${menu.data.menu[0]}`,
    "POST",
  );
  const { value, error } = readPaymentRequiredHeader(terms.required);
  const payTo = value?.accepts[0]?.payTo;
  if (payTo) return payTo.toLowerCase() as Hex;
  throw new Watt402Error(
    "unexpected-answer",
    `seller ${sellerUrl}: expected payment requirements, found HTTP ${terms.status} (${error ?? "no payee"})`,
  );
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly required: string;
}

async function ask(sellerUrl: string, path: string, method: "GET" | "POST"): Promise<Answer> {
  try {
    const { statusCode, headers, body } = await request(sellerUrl + path, {
      method,
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const header = headers[PAYMENT_REQUIRED_HEADER];
    return {
      status: statusCode,
      text: await body.text(),
      required: typeof header === "string" ? header : "",
    };
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new Watt402Error(
      "unreachable",
      `seller ${sellerUrl}: no answer (${code ?? message}); is it running there?`,
      { cause },
    );
  }
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
