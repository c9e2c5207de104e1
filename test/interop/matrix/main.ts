// `npm run interop`: every x402 route both ways, ours against the stock packages. `--json` prints one JSON document.
// Exit code 0 when every route passed both ways, 1 when one did not, 130 when it was interrupted.

import { prepareGround } from "../../gateway/fixtures.ts";
import { playMatrix } from "./matrix.ts";
import { tableText } from "./table.ts";

const isJson = process.argv.slice(2).includes("--json");
const unknown = process.argv.slice(2).find((argument) => argument !== "--json");
if (unknown !== undefined) {
  console.error(`interop: expected --json or nothing, found "${unknown.slice(0, 40)}"`);
  process.exit(2);
}

const ground = await prepareGround();
const interrupted = new Promise<null>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve(null));
});
const played = playMatrix(ground, ({ side, route, against, passed, refusal, milliseconds }) => {
  const outcome = passed ? "passed" : refusal;
  console.error(`${side}: ${route}, ${against}: ${outcome} (${(milliseconds / 1000).toFixed(1)} s)`);
});
const report = await Promise.race([played, interrupted]);
await ground.stop();
if (report === null) process.exit(130);
console.log(isJson ? JSON.stringify(report) : tableText(report));
const { buyer, seller } = report;
process.exit(buyer.passed === buyer.routes && seller.passed === seller.routes ? 0 : 1);
