// The whole matrix: every route both ways, cell after cell on one chain.

import type { Ground } from "../../gateway/fixtures.ts";
import { playBuyerCell, STOCK_SERVERS } from "./buyer-cell.ts";
import { type Cell, playCell } from "./cell.ts";
import { matrixChain } from "./chain.ts";
import { ROUTES, type Route } from "./routes.ts";
import { playSellerCell, STOCK_CLIENTS } from "./seller-cell.ts";
import { playVersion1Payer, playVersion1Seller, VERSION_1 } from "./version-1.ts";

export interface MatrixReport {
  readonly buyer: { readonly routes: number; readonly passed: number };
  readonly seller: { readonly routes: number; readonly passed: number };
  readonly cells: readonly Cell[];
}

/**
 * @param onCell hears of each cell when it was played
 * @param only a part of the names of the routes to be played; all when empty
 */
export async function playMatrix(
  ground: Ground,
  onCell: (cell: Cell) => void,
  only = "",
): Promise<MatrixReport> {
  const routes = ROUTES.filter(({ name }) => name.includes(only));
  const chain = matrixChain(ground.anvil, ground.contracts);
  const cells: Cell[] = [];
  const play = async (...cell: Parameters<typeof playCell>) => {
    const played = await playCell(...cell);
    cells.push(played);
    onCell(played);
  };
  for (const route of routes) {
    for (const client of STOCK_CLIENTS)
      await play("seller", route, client, () => playSellerCell(ground, chain, route, client));
    for (const server of STOCK_SERVERS)
      await play("buyer", route, server, () => playBuyerCell(ground, chain, route, server));
  }
  if (VERSION_1.name.includes(only)) {
    await play("seller", VERSION_1, "@x402/evm/v1", () => playVersion1Payer(ground, chain));
    await play("buyer", VERSION_1, "by hand", () => playVersion1Seller(ground, chain));
  }
  return { buyer: countOf(routes, cells, "buyer"), seller: countOf(routes, cells, "seller"), cells };
}

/** A route has passed when all its cells on a side have. */
function countOf(
  routes: readonly Route[],
  cells: readonly Cell[],
  side: Cell["side"],
): MatrixReport["buyer"] {
  const passed = routes.filter(({ name }) =>
    cells.filter((cell) => cell.side === side && cell.route === name).every((cell) => cell.passed),
  );
  return { routes: routes.length, passed: passed.length };
}
