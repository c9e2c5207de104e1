import { defineConfig } from "vitest/config";

/** Tests that take many minutes: hundreds of kills, outages as long as real ones. */
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.long.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: 1,
  },
});
