// The whole matrix: our seller is bought from by every route, and our gateway buys by every route.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../../gateway/fixtures.ts";
import { type MatrixReport, playMatrix } from "./matrix.ts";
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

test("our gateway buys from stock servers by each of the eleven routes; version 1 is refused by its name", () => {
  expect(report.buyer).toEqual({ routes: 11, passed: 11 });
  const refused = report.cells.filter(({ passed }) => !passed);
  const reasons = refused.filter(({ route }) => route === VERSION_1.name).map(({ refusal }) => refusal);
  expect(refused).toHaveLength(reasons.length);
  expect(reasons).toEqual([expect.stringContaining("version 1"), expect.stringContaining("version 1")]);
});
