/**
 * The seller's own accounts of a fleet's channels, as its API publishes them.
 */
import { request } from "undici";
import { z } from "zod";

const ACCOUNT = z.object({ charged: z.number().int().min(0), granted: z.number().int().min(0) });

export type SellerAccount = z.infer<typeof ACCOUNT>;

const AT_ONCE = 16;

/** Reads accounts by id; one that the seller does not know is absent. Throws when the seller does not answer. */
export async function readAccounts(
  sellerUrl: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, SellerAccount>> {
  const accounts = new Map<string, SellerAccount>();
  for (let first = 0; first < ids.length; first += AT_ONCE) {
    await Promise.all(
      ids.slice(first, first + AT_ONCE).map(async (id) => {
        const { statusCode, body } = await request(`${sellerUrl}/v1/accounts/${id}`);
        const text = await body.text();
        if (statusCode === 404) return;
        if (statusCode !== 200)
          throw new Error(`seller ${sellerUrl}: expected account ${id}, found HTTP ${statusCode}`);
        accounts.set(id, ACCOUNT.parse(JSON.parse(text)));
      }),
    );
  }
  return accounts;
}
