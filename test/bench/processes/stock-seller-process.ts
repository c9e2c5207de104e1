/**
 * The stock seller in a process of its own: @x402/express with batch-settlement, as its README makes it.
 */
import type { Anvil } from "#simulator/chain/anvil";
import type { Contracts } from "#simulator/chain/deploy";
import { startStockSeller } from "../../interop/stock-seller.ts";
import { answerParent, optionsOfParent } from "./child.ts";

export interface StockSellerOptions {
  readonly anvil: Pick<Anvil, "rpcUrl" | "chainId" | "accounts">;
  readonly contracts: Contracts;
  readonly network: `eip155:${number}`;
  readonly amountAtomic: number;
  readonly minDepositAtomic: number;
}

const options = optionsOfParent<StockSellerOptions>();
const { amountAtomic, minDepositAtomic } = options;
const seller = await startStockSeller(options, "batch-settlement", {
  amountAtomic,
  minDepositAtomic,
  accounts: [5, 6],
});

answerParent({ url: () => seller.url }, () => seller.close());
