import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const src = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests and the example engine import the package by its name; under test that name means the sources.
    alias: [
      { find: /^kvblock\/(hash|events|tokenize|block-index|score)$/, replacement: src("$1/index.ts") },
      { find: /^kvblock\/(testing|tiktoken|prometheus)$/, replacement: src("$1.ts") },
      { find: /^kvblock$/, replacement: src("index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
  },
});
