import * as stock from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import fc from "fast-check";
import { type Hex, hashTypedData, hexToBytes, numberToHex, type TypedDataDefinition } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import { toHex } from "#payment/bytes";
import { channelIdOf } from "#payment/channel";
import { openKey } from "#payment/key";
import {
  APPROVE_GAS,
  type ApproveTransaction,
  approveDigest,
  signedApprove,
  tokenPermitDigest,
} from "#payment/permit2/approval";
import {
  EXACT_PROXY_ADDRESS,
  PERMIT2_ADDRESS,
  permitDigest,
  UPTO_PROXY_ADDRESS,
} from "#payment/permit2/permit";

const SECRET = `0x${"11".repeat(32)}` as const;
const account = privateKeyToAccount(SECRET);
const key = openKey(hexToBytes(SECRET));

const address = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => toHex(bytes));
const chainId = fc.integer({ min: 1, max: 999_999_999_999_999 });
const counter = fc.integer({ min: 1, max: 2 ** 48 - 1 });

/** What the stock client signs, in the order of signing, and the payload that it makes. */
async function stockSigns(scheme: "exact" | "upto" | "batch-settlement", terms: Terms, extensions = {}) {
  const signed: TypedDataDefinition[] = [];
  const transactions: Hex[] = [];
  const signer = {
    address: account.address,
    async signTypedData(message: unknown) {
      signed.push(message as TypedDataDefinition);
      return account.signTypedData(message as TypedDataDefinition);
    },
    readContract: async ({ functionName }: { functionName: string }) =>
      functionName === "nonces" ? 5n : functionName === "allowance" ? 0n : [0n, 0n],
    async signTransaction(transaction: unknown) {
      transactions.push(
        await account.signTransaction(transaction as Parameters<typeof account.signTransaction>[0]),
      );
      return transactions.at(-1)!;
    },
    getTransactionCount: async () => 7,
    estimateFeesPerGas: async () => ({ maxFeePerGas: 2_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n }),
  };
  const requirements = {
    scheme,
    network: `eip155:${terms.chainId}` as const,
    amount: String(terms.amount),
    asset: terms.token,
    payTo: terms.payTo,
    maxTimeoutSeconds: 300,
    extra: {
      assetTransferMethod: "permit2",
      name: "USD Coin",
      version: "2",
      facilitatorAddress: terms.facilitator,
      receiverAuthorizer: account.address,
      withdrawDelay: 900,
      minDeposit: String(terms.amount),
    },
  };
  const client =
    scheme === "exact"
      ? new ExactEvmScheme(signer)
      : scheme === "upto"
        ? new UptoEvmScheme(signer)
        : new stock.BatchSettlementEvmScheme(signer);
  const made = await client.createPaymentPayload(2, requirements, { extensions });
  return { made: made as unknown as Made, signed, transactions };
}

interface Terms {
  readonly chainId: number;
  readonly token: Hex;
  readonly payTo: Hex;
  readonly facilitator: Hex;
  readonly amount: number;
}

interface Made {
  readonly payload: {
    readonly permit2Authorization: { readonly nonce: string; readonly deadline: string };
    readonly channelConfig: Parameters<typeof channelIdOf>[0];
    readonly deposit: {
      readonly amount: string;
      readonly authorization: {
        readonly permit2Authorization: { readonly nonce: string; readonly deadline: string };
      };
    };
  };
  readonly extensions: Record<string, { readonly info: Record<string, string> }>;
}

const terms = fc.record({ chainId, token: address, payTo: address, facilitator: address, amount: counter });

function nonceAndEnd({ nonce, deadline }: { readonly nonce: string; readonly deadline: string }) {
  return { nonce: numberToHex(BigInt(nonce), { size: 32 }), deadlineSeconds: Number(deadline) };
}

describe("what is signed under Permit2", () => {
  it("is of the contracts that the stock package names", () => {
    expect([PERMIT2_ADDRESS, EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS]).toEqual(
      [stock.PERMIT2_ADDRESS, stock.x402ExactPermit2ProxyAddress, stock.x402UptoPermit2ProxyAddress].map(
        (named) => named.toLowerCase(),
      ),
    );
  });

  it.each(["exact", "upto"] as const)("by %s is what the stock client signs, byte for byte", async (kind) => {
    await fc.assert(
      fc.asyncProperty(terms, async (drawn) => {
        const { made, signed } = await stockSigns(kind, drawn);
        const { chainId: id, token, payTo: to, facilitator, amount } = drawn;
        const digest = permitDigest({
          chainId: id,
          token,
          amountAtomic: amount,
          ...nonceAndEnd(made.payload.permit2Authorization),
          witness: kind === "exact" ? { kind, to } : { kind, to, facilitator },
        });
        expect(toHex(digest)).toBe(hashTypedData(signed[0]!));
      }),
      { numRuns: 50 },
    );
  });

  it("for a deposit is what the stock client signs, byte for byte", async () => {
    await fc.assert(
      fc.asyncProperty(terms, async (drawn) => {
        const { made, signed } = await stockSigns("batch-settlement", drawn);
        const { channelConfig, deposit } = made.payload;
        const digest = permitDigest({
          chainId: drawn.chainId,
          token: drawn.token,
          amountAtomic: Number(deposit.amount),
          ...nonceAndEnd(deposit.authorization.permit2Authorization),
          witness: { kind: "deposit", channelId: channelIdOf(channelConfig, drawn.chainId) },
        });
        expect(toHex(digest)).toBe(hashTypedData(signed[0]!));
      }),
      { numRuns: 50 },
    );
  });
});

describe("an approval of Permit2", () => {
  it("by EIP-2612 is what the stock client signs, byte for byte", async () => {
    await fc.assert(
      fc.asyncProperty(terms, async (drawn) => {
        const { made, signed } = await stockSigns("exact", drawn, { eip2612GasSponsoring: {} });
        const { info } = made.extensions.eip2612GasSponsoring!;
        const token = { chainId: drawn.chainId, address: drawn.token, name: "USD Coin", version: "2" };
        const digest = tokenPermitDigest(token, {
          owner: key.address,
          amountAtomic: Number(info.amount),
          nonce: Number(info.nonce),
          deadlineSeconds: Number(info.deadline),
        });
        expect(toHex(digest)).toBe(hashTypedData(signed[1]!));
      }),
      { numRuns: 50 },
    );
  });

  it("by a transaction is viem's transaction, byte for byte, with an amount of our own", async () => {
    const drawn = fc.record({
      chainId,
      token: address,
      amountAtomic: counter,
      nonce: fc.nat(2 ** 31),
      maxFeePerGas: counter,
      maxPriorityFeePerGas: fc.nat(2 ** 31),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async (transaction) => {
        const maxPriorityFeePerGas = Math.min(transaction.maxPriorityFeePerGas, transaction.maxFeePerGas);
        const bounded = { ...transaction, maxPriorityFeePerGas };
        const raw = signedApprove(bounded, key.sign(approveDigest(bounded)));
        expect(raw).toBe(await byViem(bounded));
      }),
      { numRuns: 200 },
    );
  });

  it("by a transaction differs from the stock client's in the amount alone: that one's has no limit", async () => {
    const drawn: Terms = {
      chainId: 31_337,
      token: `0x${"c0".repeat(20)}`,
      payTo: key.address,
      facilitator: key.address,
      amount: 1,
    };
    const { transactions } = await stockSigns("exact", drawn, { erc20ApprovalGasSponsoring: {} });
    const ours: ApproveTransaction = {
      chainId: drawn.chainId,
      token: drawn.token,
      amountAtomic: 0,
      nonce: 7,
      maxFeePerGas: 2_000_000_000,
      maxPriorityFeePerGas: 1_000_000_000,
    };
    expect(transactions).toEqual([await byViem(ours, 2n ** 256n - 1n)]);
  });
});

/** @param amount in the place of the transaction's own */
async function byViem(
  transaction: ApproveTransaction,
  amount = BigInt(transaction.amountAtomic),
): Promise<Hex> {
  const word = amount.toString(16).padStart(64, "0");
  return account.signTransaction({
    type: "eip1559",
    chainId: transaction.chainId,
    to: transaction.token as Hex,
    data: `0x095ea7b3${PERMIT2_ADDRESS.slice(2).padStart(64, "0")}${word}`,
    nonce: transaction.nonce,
    gas: BigInt(APPROVE_GAS),
    maxFeePerGas: BigInt(transaction.maxFeePerGas),
    maxPriorityFeePerGas: BigInt(transaction.maxPriorityFeePerGas),
  });
}
