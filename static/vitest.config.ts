/** Unit tests of the client's pure parts; the browser tests live in the repository's tests/ folder. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts", "tests/**/*.test.tsx"],
    environment: "node",
    // Nothing here measures time: a machine that is busy elsewhere fails no test.
    testTimeout: 120_000,
  },
});
