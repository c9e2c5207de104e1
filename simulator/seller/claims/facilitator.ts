// The x402 facilitator that verifies payments against the chain and sends the transactions: the official one
// in this process, with a wallet of the seller's.

import { x402Facilitator } from "@x402/core/facilitator";
import type { FacilitatorClient } from "@x402/core/server";
import type { Network } from "@x402/core/types";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/facilitator";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import type { Hex, PublicClient } from "viem";
import { approvalSponsor, EIP2612_KEY, ERC20_APPROVAL_KEY } from "./gas-sponsor.ts";
import type { Wallet } from "./wallet.ts";

/** How long a transaction may take to be mined before the payment is answered "pending". */
const CONFIRMATION_TIMEOUT_MS = 60_000;

/**
 * The official facilitator for all schemes, paying gas from `wallet`.
 * @param sponsorsApprovals whether it also pays for a payer's own approval of Permit2
 */
export function facilitatorInProcess(
  network: Network,
  wallet: Wallet,
  chain: PublicClient,
  sponsorsApprovals = false,
): FacilitatorClient {
  const inTurn = oneAtATime();
  const signer = toFacilitatorEvmSigner(
    {
      address: wallet.account.address,
      // As this facilitator would call it: by upto it alone may, so from anyone else it would be refused.
      readContract: (call) => chain.readContract({ ...call, args: call.args ?? [], account: wallet.account }),
      verifyTypedData: (message) =>
        chain.verifyTypedData(message as Parameters<typeof chain.verifyTypedData>[0]),
      // Two transactions prepared at once would take the same nonce, and one that fails to be sent after its
      // nonce was counted would hold up all later ones. So they are sent one after the other, mined together.
      writeContract: (call) =>
        inTurn(() => wallet.writeContract(call as unknown as Parameters<typeof wallet.writeContract>[0])),
      sendTransaction: (transaction) => inTurn(() => wallet.sendTransaction(transaction)),
      waitForTransactionReceipt: (wait) => chain.waitForTransactionReceipt(wait),
      getCode: (place) => chain.getCode(place),
    },
    { confirmationTimeoutMs: CONFIRMATION_TIMEOUT_MS },
  );
  const facilitator = new x402Facilitator();
  facilitator.register(network, new BatchSettlementEvmScheme(signer));
  facilitator.register(network, new ExactEvmScheme(signer));
  facilitator.register(network, new UptoEvmScheme(signer));
  // A permit is part of the payment's own transaction.
  facilitator.registerExtension({ key: EIP2612_KEY });
  if (sponsorsApprovals) {
    const sponsor = { key: ERC20_APPROVAL_KEY, signer: approvalSponsor({ signer, wallet, chain, inTurn }) };
    facilitator.registerExtension(sponsor);
  }
  return {
    verify: (payload, requirements) => facilitator.verify(payload, requirements),
    settle: (payload, requirements) => facilitator.settle(payload, requirements),
    getSupported: async () =>
      facilitator.getSupported() as Awaited<ReturnType<FacilitatorClient["getSupported"]>>,
  };
}

function oneAtATime(): (send: () => Promise<Hex>) => Promise<Hex> {
  let last: Promise<unknown> = Promise.resolve();
  return (send) => {
    const turn = last.then(send);
    last = turn.catch(() => undefined);
    return turn;
  };
}
