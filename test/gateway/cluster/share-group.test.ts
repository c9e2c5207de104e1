// The name of the group among which a broker shares messages: the same for gateways with one key, derived from nothing public.

import { generatePrivateKey } from "viem/accounts";
import { expect, test } from "vitest";
import { groupOf } from "#gateway/open-cluster";
import { fromHex } from "#payment/bytes";
import { openKey } from "#payment/key";

test("gateways with one key share one group, others have another, and no address is in its name", () => {
  const secret = fromHex(generatePrivateKey());
  const [one, same, other] = [openKey(secret), openKey(secret), openKey(fromHex(generatePrivateKey()))];
  expect(groupOf(one)).toBe(groupOf(same));
  expect(groupOf(one)).not.toBe(groupOf(other));
  expect(groupOf(one)).toMatch(/^watt402-[0-9a-f]{32}$/);
  expect(groupOf(one)).not.toContain(one.address.slice(2, 10));
});
