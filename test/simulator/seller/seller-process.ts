// The utility as a process to be started and killed: what `watt402-simulate seller` does, and nothing else.

import { runSeller } from "#simulator/seller/run-seller";

process.exitCode = await runSeller(process.argv.slice(2));
// As watt402-simulate's launcher does.
setTimeout(() => process.exit(), 500).unref();
