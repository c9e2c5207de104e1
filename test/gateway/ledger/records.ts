// Ledger records by number: the same number is the same record in the writer's process and in the test's.

import type { ChannelRecord, DepositRecord, PaymentRecord } from "#gateway/purchase/ports";
import { tokenName } from "#protocol/payment-token";
import { requirementsOf } from "../purchase/fixtures.ts";

const CHANNEL_ID = `0x${"c1".repeat(32)}`;

export function paymentNumbered(number: number): PaymentRecord {
  return {
    channelId: CHANNEL_ID,
    maxClaimable: (number + 1) * 100,
    amountAtomic: 100,
    charged: (number + 1) * 100,
    granted: (number + 1) * 500,
    pricePerMillionUnits: 200_000,
    register: number,
    signature: `0x${number.toString(16).padStart(130, "0")}`,
    transaction: "",
    atSeconds: 1_800_000_000,
  };
}

/** The channel after that payment. */
export function channelNumbered(number: number): ChannelRecord {
  const { charged, granted } = paymentNumbered(number);
  return {
    id: CHANNEL_ID,
    device: "ab".repeat(20),
    seller: "grid",
    resource: "http://seller/energy",
    requirements: requirementsOf("batch-settlement", 100),
    config: {
      payer: `0x${"01".repeat(20)}`,
      payerAuthorizer: `0x${"ab".repeat(20)}`,
      receiver: `0x${"5e".repeat(20)}`,
      receiverAuthorizer: `0x${"5e".repeat(20)}`,
      token: `0x${"70".repeat(20)}`,
      withdrawDelay: 86_400,
      salt: `0x${"00".repeat(32)}`,
    },
    balance: 0,
    promised: charged,
    charged,
    signed: charged,
    granted,
    revision: number + 1,
  };
}

export function depositNumbered(number: number): DepositRecord {
  return {
    channelId: CHANNEL_ID,
    index: number,
    amountAtomic: 1_000,
    validBeforeSeconds: 1_900_000_000,
    isNewcomer: false,
    token: tokenName(channelNumbered(0).requirements),
    signature: `0x${"12".repeat(65)}`,
    state: "intended",
    atSeconds: 1_800_000_000,
  };
}
