/** A parent that supervises the child of these tests, to be killed by them. */
import { register } from "tsx/esm/api";

register();
const { supervise } = await import("#simulator/services/supervised");
const [launcher, port, pidFile] = process.argv.slice(2);
const child = await supervise({
  name: "child",
  launcher,
  args: ["runs", port, pidFile],
  onTrouble: () => {},
});
process.stdout.write(`${child.pid()}\n`);
