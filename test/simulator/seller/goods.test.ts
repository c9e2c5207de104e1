// A seller of anything by the unit: what a file says is on sale, at each of its resources, of one account.

import { decodePaymentRequiredHeader } from "@x402/core/http";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSellFile, UNITS } from "#simulator/seller/sale/goods";
import { type Ground, prepareGround } from "./fixtures.ts";

const PARKING = `
unit = "s"
menu = [100, 200]
schemes = ["batch-settlement"]
[[resource]]
path = "/v1/parking/north"
description = "parking in the north yard"
[[resource]]
path = "/v1/parking/south"
description = "parking in the south yard"
`;

describe("a file of goods", () => {
  test.each([
    [PARKING.replace('unit = "s"', 'unit = "hour"'), "unit: "],
    [PARKING.replace("menu = [100, 200]", "menu = []"), "menu: "],
    [PARKING.replace("menu = [100, 200]", "menu = [0.5]"), "menu.0: "],
    [PARKING.replace("/v1/parking/north", "/v1/tariff"), "resource.0.path: expected a path that the seller"],
    [PARKING.replace("/v1/parking/north", "parking?x"), "resource.0.path: expected a path such as"],
    [PARKING.replace('south"', 'north"').replace("/south", "/north"), "resource: expected a path of its own"],
    ['unit = "s"', "resource: "],
    [`${PARKING}colour = "red"`, "resource.1"],
  ])("that cannot be sold from is refused in one line that names the place (%#)", (text, found) => {
    expect(() => readSellFile(text, "goods.toml")).toThrow(`goods.toml: ${found}`);
  });

  test("is read or refused with that code, whatever is in it", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((line) => PARKING + line),
        ),
        (text) => {
          try {
            expect(UNITS).toContain(readSellFile(text, "goods.toml").unit);
          } catch (error) {
            expect((error as Error).message.split("\n")[0]).toMatch(/goods\.toml/);
          }
        },
      ),
    );
  });
});

describe.each(["s", "request"] as const)("a seller by the %s", (unit) => {
  let ground: Ground;
  let url: string;
  beforeAll(async () => {
    const { menu, schemes, ...goods } = readSellFile(PARKING.replace('"s"', `"${unit}"`), "goods.toml");
    ground = await prepareGround({ goods, menu: menu!, schemes: schemes! });
    url = (await ground.start()).url;
  });
  afterAll(() => ground.stop());

  test("says in its tariff and its terms what it sells, and sells to the stock client at each resource", async () => {
    const resources = ["/v1/parking/north", "/v1/parking/south"];
    expect(await (await fetch(`${url}/v1/tariff`)).json()).toMatchObject({
      unit,
      menu: [100, 200],
      resources,
    });
    const buyer = (await ground.payer()).batch();
    let charged = 0;
    for (const path of resources) {
      const unpaid = await fetch(`${url}${path}?quantum=100`, { method: "POST" });
      const required = decodePaymentRequiredHeader(unpaid.headers.get("PAYMENT-REQUIRED")!);
      expect(required.resource).toMatchObject({ url: `${url}${path}?quantum=100` });
      expect(required.resource?.description).toMatch(/^parking in the (north|south) yard for 100/);
      const bought = await buyer.fetch(`${url}${path}?quantum=100`, { method: "POST" });
      charged += 100;
      const granted = (charged * 1e6) / 200_000;
      expect([bought.status, await bought.json()]).toMatchObject([200, { charged, granted }]);
    }
    expect((await fetch(`${url}/v1/energy?quantum=100`, { method: "POST" })).status).toBe(404);
  });
});
