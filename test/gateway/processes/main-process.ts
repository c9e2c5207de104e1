// The gateway's main as a program to be bundled: what watt402-gateway.mjs starts, and nothing else.

import { main } from "#gateway/main";

await main(process.argv.slice(2));
