// Two cells of the matrix that `npm run interop` plays whole.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../../gateway/fixtures.ts";
import { playBuyerCell } from "./buyer-cell.ts";
import { playCell } from "./cell.ts";
import { matrixChain } from "./chain.ts";
import { ROUTES } from "./routes.ts";
import { playSellerCell } from "./seller-cell.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

const exact = ROUTES.find(({ name }) => name === "exact eip3009")!;

test("axios pays our seller by exact, and our light a Hono server: once for each portion, on every account", async () => {
  const chain = matrixChain(ground.anvil, ground.contracts);
  const axios = "@x402/axios";
  const hono = "@x402/hono";
  const cells = [
    await playCell("seller", exact, axios, () => playSellerCell(ground, chain, exact, axios)),
    await playCell("buyer", exact, hono, () => playBuyerCell(ground, chain, exact, hono)),
  ];
  expect(cells.map(({ refusal }) => refusal)).toEqual(["", ""]);
});
