// `npm run interop`: every x402 route both ways, ours against the stock packages. `--json` prints one JSON document.
// Exit code 0 when every route passed both ways, 1 when one did not, 130 when it was interrupted.

import { Command } from "commander";
import { prepareGround } from "../../gateway/fixtures.ts";
import type { Cell } from "./cell.ts";
import { playMatrix } from "./matrix.ts";
import { tableText } from "./table.ts";

const { json: isJson, only } = new Command("interop")
  .description("play every x402 route both ways, ours against the stock packages")
  .option("--json", "one JSON document on standard output instead of the table", false)
  .option("--only <text>", "routes whose name contains it, such as upto", "")
  .parse()
  .opts<{ json: boolean; only: string }>();

const ground = await prepareGround();
const interrupted = new Promise<null>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve(null));
});
const say = ({ side, route, against, passed, refusal, milliseconds }: Cell) => {
  const outcome = passed ? "passed" : refusal;
  console.error(`${side}: ${route}, ${against}: ${outcome} (${(milliseconds / 1000).toFixed(1)} s)`);
};
const played = playMatrix(ground, say, only);
const report = await Promise.race([played, interrupted]);
await ground.stop();
if (report === null) process.exit(130);
console.log(isJson ? JSON.stringify(report) : tableText(report));
const { buyer, seller } = report;
process.exit(buyer.passed === buyer.routes && seller.passed === seller.routes ? 0 : 1);
