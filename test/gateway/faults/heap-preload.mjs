// Loaded before a program under test: says, when its parent asks, what its heap weighs once garbage is gone.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  process.on("message", async (message) => {
    if (message !== "weigh") return;
    // What finalizers and timers let go is collected by the next round.
    for (let round = 0; round < 3; round += 1) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { heapUsed, external } = process.memoryUsage();
    process.send({ heapUsed, external });
  });
  // Listening alone must not keep a program that ended.
  process.channel?.unref();
}
