// The whole matrix: our seller is bought from by every route, and whatever our gateway does not buy by has its reason.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../../gateway/fixtures.ts";
import { type MatrixReport, playMatrix } from "./matrix.ts";
import { ROUTES } from "./routes.ts";
import { VERSION_1 } from "./version-1.ts";

let ground: Ground;
let report: MatrixReport;
beforeAll(async () => {
  ground = await prepareGround();
  report = await playMatrix(ground, () => {});
}, 480_000);
afterAll(() => ground.stop());

test("stock clients buy from our seller by each of the eleven routes", () => {
  expect(
    report.cells.filter(({ side, passed }) => side === "seller" && !passed).map(({ route }) => route),
  ).toEqual([VERSION_1.name]);
  expect(report.seller).toEqual({ routes: 11, passed: 11 });
});

test("our gateway buys from stock servers by a route, or says why not; version 1 is refused by its name", () => {
  expect(report.buyer.routes).toBe(ROUTES.length);
  const refused = report.cells.filter(({ passed }) => !passed);
  for (const { route, refusal } of refused) {
    expect(refusal, route).not.toBe("");
    expect(refusal, route).not.toContain("no reason given");
  }
  const first = refused.filter(({ route }) => route === VERSION_1.name).map(({ refusal }) => refusal);
  expect(first).toEqual([expect.stringContaining("version 1"), expect.stringContaining("version 1")]);
});
