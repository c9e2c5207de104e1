#!/usr/bin/env node
import { register } from "tsx/esm/api";

register();
const { main } = await import("./main.ts");
await main(process.argv.slice(2));
// All is closed by now; a socket that a library still keeps must not keep the program.
setTimeout(() => process.exit(), 500).unref();
