/**
 * The build: one ESM entry per subpath of package.json's `exports`, shared code in chunks, declarations beside.
 * test/layout.test.ts holds the two lists together.
 */
import { defineConfig } from "tsup";

export const rooms: readonly string[] = ["hash", "events", "tokenize", "block-index", "score"];

export const entry: Record<string, string> = {
  index: "src/index.ts",
  testing: "src/testing.ts",
  tiktoken: "src/tiktoken.ts",
  prometheus: "src/prometheus.ts",
  pool: "src/pool.ts",
  "pool-worker": "src/pool-worker.ts",
  ...Object.fromEntries(rooms.map((room) => [`${room}/index`, `src/${room}/index.ts`])),
};

export default defineConfig({
  entry,
  format: ["esm"],
  target: "node20",
  platform: "node",
  // tsup leaves dependencies and peers out by itself, but not optional ones.
  external: ["zeromq"],
  dts: true,
  sourcemap: true,
  clean: true,
  splitting: true,
  silent: true,
  esbuildOptions(options) {
    // The sources ship beside, so the maps need not carry them a second time.
    options.sourcesContent = false;
  },
});
