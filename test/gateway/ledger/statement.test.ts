// A month's statement as text.

import { expect, test } from "vitest";
import { type Statement, statementText } from "#gateway/ledger/statements/statement";

const PAID = { network: "eip155:8453", asset: `0x${"a0".repeat(20)}` };

const statement: Statement = {
  device: "ab".repeat(20),
  model: "test light",
  unit: "mWh",
  month: "2026-11",
  purchases: 2,
  spentAtomic: 1_234_567,
  spent: [{ ...PAID, spentAtomic: 1_234_567 }],
  grantedUnits: 1_000_000,
  consumedUnits: 999_000,
  channels: [
    {
      channel: `0x${"cd".repeat(32)}`,
      resource: "http://seller/energy",
      scheme: "exact",
      ...PAID,
      opening: null,
      closing: null,
      purchases: 2,
      spentAtomic: 1_234_567,
      grantedUnits: 1_000_000,
      depositedAtomic: 5,
      unknown: { maxClaimable: 7_777, sinceSeconds: 1_800_000_000 },
      prices: [{ pricePerMillionUnits: 200_000, purchases: 2, spentAtomic: 1_234_567 }],
    },
  ],
};

test.each([
  ["USDC", 6, ["$1.234567 (", "deposited $0.000005", "at $0.200000/kWh: $1.234567"]],
  ["EURC", 2, ["12345.67 EURC (", "deposited 0.05 EURC", "at 2000.00 EURC/kWh: 12345.67 EURC"]],
  [
    "DAI",
    18,
    [
      "0.000000000001234567 DAI (",
      "deposited 0.000000000000000005 DAI",
      "at 0.000000000000200000 DAI/kWh: 0.000000000001234567 DAI",
    ],
  ],
  ["POINT", 0, ["1234567 POINT (", "deposited 5 POINT", "at 200000 POINT/kWh: 1234567 POINT"]],
] as const)(
  "a statement gives money in the token's symbol and decimals: %s with %i",
  (symbol, decimals, found) => {
    const text = statementText(statement, [{ ...PAID, symbol, decimals }]);
    for (const piece of found) expect(text).toContain(piece);
  },
);

test("a statement of two tokens gives each by itself, and no sum of both", () => {
  const other = { network: "eip155:31338", asset: `0x${"b0".repeat(20)}` };
  const [channel] = statement.channels;
  const channels = [channel!, { ...channel!, ...other, spentAtomic: 5 }];
  const spent = [...statement.spent, { ...other, spentAtomic: 5 }];
  const text = statementText({ ...statement, spentAtomic: null, spent, channels }, [
    { ...PAID, symbol: "USDC", decimals: 6 },
    { ...other, symbol: "EURC", decimals: 2 },
  ]);
  expect(text).toContain(`spent       $1.234567 (1234567 atomic units of eip155:8453/erc20:${PAID.asset})`);
  expect(text).toContain(`spent       0.05 EURC (5 atomic units of eip155:31338/erc20:${other.asset})`);
  expect(text).toContain(`in       eip155:31338/erc20:${other.asset}`);
  expect(text).not.toContain("1234572");
  expect(text).toContain(
    "not known since 2027-01-15T08:00:00.000Z whether 7777 was charged; it is in no sum",
  );
});
