import { defineConfig } from "vitest/config";

/** Tests that drive programs of the system: browsers and brokers of the distribution. */
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.system.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: 2,
    isolate: false,
  },
});
