/**
 * The seller's own accounts of a fleet's channels, as its API publishes them.
 */

import { request } from "undici";
import { z } from "zod";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";

const ACCOUNT = z.object({ charged: z.number().int().min(0), granted: z.number().int().min(0) });

export type SellerAccount = z.infer<typeof ACCOUNT>;

const AT_ONCE = 16;

/** Longest wait for a seller that is being restarted. */
const PATIENCE_MS = 30_000;
const AGAIN_MS = 200;

/** Reads accounts by id; one that the seller does not know is absent. Throws when the seller does not answer. */
export async function readAccounts(
  sellerUrl: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, SellerAccount>> {
  const deadline = performance.now() + PATIENCE_MS;
  const accounts = new Map<string, SellerAccount>();
  for (let first = 0; first < ids.length; first += AT_ONCE) {
    await Promise.all(
      ids.slice(first, first + AT_ONCE).map(async (id) => {
        const account = await readAccount(sellerUrl, id, deadline);
        if (account !== null) accounts.set(id, account);
      }),
    );
  }
  return accounts;
}

async function readAccount(sellerUrl: string, id: string, deadline: number): Promise<SellerAccount | null> {
  for (;;) {
    try {
      const { statusCode, body } = await request(`${sellerUrl}/v1/accounts/${id}`);
      const text = await body.text();
      if (statusCode === 404) return null;
      if (statusCode === 200) return ACCOUNT.parse(parseJson(text));
      throw new Watt402Error("unreachable", `HTTP ${statusCode}`);
    } catch (cause) {
      if (performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        continue;
      }
      const { message } = cause as Error;
      throw new Watt402Error("not-found", `seller ${sellerUrl}: expected account ${id}, found ${message}`, {
        cause,
      });
    }
  }
}
