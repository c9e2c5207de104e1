// The account that a seller's transactions are sent from.

import type { Account, Chain, Transport, WalletClient } from "viem";

export type Wallet = WalletClient<Transport, Chain, Account>;
