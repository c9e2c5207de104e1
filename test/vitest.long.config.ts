import { defineConfig } from "vitest/config";

/** Tests that take many minutes: each guard taken out of the world in turn. */
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.long.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: 1,
  },
});
