import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.test.ts"],
    exclude: ["test/**/*.system.test.ts", "test/**/*.long.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    // A worker keeps its modules from file to file: loading them anew took a third of the run's CPU.
    isolate: false,
  },
});
