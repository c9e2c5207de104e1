/** A program to be supervised: says what it was given and is ready, or fails as its mode says. */
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";

const [mode, port, pidFile] = process.argv.slice(2);
appendFileSync(pidFile, `${process.pid}\n`);
if (mode === "fails") {
  process.stderr.write("child: expected a good day, found none\n");
  process.exit(1);
}
if (mode === "throws") throw new Error("nobody caught this");
const server = createServer((_request, response) => response.end(String(process.pid)));
server.listen(Number(port), "127.0.0.1", () => process.send({ ready: true, port: Number(port) }));
process.once("disconnect", () => process.exit(0));
process.once("SIGTERM", () => process.send({ stopped: true, pid: process.pid }, () => process.exit(0)));
if (mode === "crashes") setTimeout(() => process.exit(3), 50);
