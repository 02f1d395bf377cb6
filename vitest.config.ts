import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const src = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests and the example engine import the package by its name; under test that name means the sources.
    alias: [
      { find: /^kvblock\/(hash|events|tokenize|block-index|score)$/, replacement: src("$1/index.ts") },
      { find: /^kvblock\/(testing|tiktoken|prometheus|pool|pool-worker)$/, replacement: src("$1.ts") },
      { find: /^kvblock$/, replacement: src("index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    // A process per file: zeromq is native, and ends a whole process if a worker thread dies with an open socket.
    pool: "forks",
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
