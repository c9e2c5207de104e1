/**
 * Buying from a seller whose price may have moved under a signed rung.
 *
 * Promise: a rung of another price than the present one is not taken for unpaid before the seller was asked what it
 * charged; its terms are asked for no more often than SellerClient.reconsider allows.
 */
import type { Pay } from "#protocol/frames";
import { chooseQuantum } from "./channels.ts";
import type { ChannelRecord, SellerClient } from "./ports.ts";
import type { PurchaseParts } from "./present.ts";
import { type Purchase, purchase } from "./purchase.ts";
import type { Session } from "./session-table.ts";

export async function buyFrom(
  parts: Omit<PurchaseParts, "seller" | "isOnSale" | "signsAhead">,
  client: SellerClient,
  { record, signsAhead }: Pick<Session, "record" | "signsAhead">,
  channel: ChannelRecord,
  pay: Pay,
): Promise<Purchase> {
  const isOnSale = (amountAtomic: number) => client.tariff()?.menu.includes(amountAtomic) ?? false;
  const buying = { ...parts, seller: client.seller, isOnSale, signsAhead };
  const bought = await purchase(buying, channel, pay);
  if (channel.config === null || bought.grant.refusal !== "seller-refused") return bought;
  if (!(await client.reconsider())) return bought;
  const tariff = client.tariff();
  if (tariff === null || tariff.menu.includes(pay.maxClaimable - channel.charged)) return bought;
  // It refuses a rung of another price before it looks at the channel: asked at its own price, it looks.
  const { quote } = await client.quote(chooseQuantum(tariff, record.wantedUnits, 0), record.pays);
  if (quote === null) return bought;
  const asked = await purchase(buying, { ...bought.channel, requirements: quote.requirements }, pay);
  return { ...asked, channel: { ...asked.channel, requirements: bought.channel.requirements } };
}
