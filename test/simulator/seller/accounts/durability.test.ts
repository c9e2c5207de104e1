// The utility is killed without warning while it sells; the long run of the same kills it more often.

import { expect, test } from "vitest";
import { SCHEME_SERVERS } from "#simulator/seller/scheme/scheme-server";
import { killedInMidLoad } from "./killed.ts";

/** By which scheme serves: our own is the one that has to prove itself. */
const KILLS = { meter: 3, official: 1 } as const;
/** Most of it is starting the utility again. */
const TEST_TIMEOUT_MS = 180_000;

test.each(SCHEME_SERVERS)(
  "kills in mid-load lose no answered voucher and charge none twice, served by the %s scheme",
  async (schemeServer) => {
    const { answeredAtomic, chargedAtomic, settledAtomic } = await killedInMidLoad(
      schemeServer,
      KILLS[schemeServer],
    );
    expect(answeredAtomic).toBe(chargedAtomic);
    expect(settledAtomic).toBe(chargedAtomic);
  },
  TEST_TIMEOUT_MS,
);
