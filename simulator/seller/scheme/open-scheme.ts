// The seller at meter grade, put together: the scheme for the x402 resource server and the voucher service before it,
// on the fastest curve this platform has.

import type { SchemeNetworkServer } from "@x402/core/types";
import type { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { type Curve, fastestCurve } from "#node/key/native-curve";
import type { Chain } from "../ports.ts";
import type { ChargedShare } from "../sale/charged-share.ts";
import { batchScheme } from "./batch-scheme.ts";
import { ChannelIds } from "./channel-ids.ts";
import { VoucherService, type VoucherStore } from "./voucher-service.ts";
import { VoucherSignatures } from "./voucher-signatures.ts";
import { keccakInWasm } from "./wasm-keccak.ts";

interface OwnSchemeOptions {
  readonly official: BatchSettlementEvmScheme;
  readonly chainId: number;
  readonly chain: Pick<Chain, "readChannels">;
  readonly store: VoucherStore;
  readonly chargedShare: ChargedShare;
  /** Unix time in milliseconds. */
  readonly nowMs: () => number;
  readonly isSoldOut: (() => boolean) | undefined;
  /** One line for the operator. */
  readonly log: (line: string) => void;
}

interface OwnScheme {
  readonly scheme: SchemeNetworkServer;
  readonly voucherService: VoucherService;
  readonly curve: Curve["name"];
}

/** Warns when vouchers will be verified the slow way, and says why. */
export async function openOwnScheme(options: OwnSchemeOptions): Promise<OwnScheme> {
  const { official, chainId, chain, store, chargedShare, nowMs, isSoldOut, log } = options;
  const { curve, reason } = fastestCurve();
  if (reason !== undefined) {
    log(
      `vouchers are verified in JavaScript, 25 times slower: secp256k1's native part did not load: ${reason}`,
    );
  }
  const signatures = new VoucherSignatures(curve, await keccakInWasm(), chainId);
  const ids = new ChannelIds(chainId);
  const readChannels = (channelIds: readonly string[]) => chain.readChannels(channelIds);
  return {
    curve: curve.name,
    scheme: batchScheme({ official, ids, signatures, readChannels, nowMs }),
    voucherService: new VoucherService({
      store,
      signatures,
      chargedShare,
      nowMs,
      isSoldOut,
      onchainStateTtlMs: official.getOnchainStateTtlMs(),
      warn: log,
    }),
  };
}
