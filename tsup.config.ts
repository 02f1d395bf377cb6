import { defineConfig } from "tsup";

const rooms = ["hash", "events", "tokenize", "block-index", "score"];

export default defineConfig({
  entry: {
    index: "src/index.ts",
    testing: "src/testing.ts",
    tiktoken: "src/tiktoken.ts",
    prometheus: "src/prometheus.ts",
    ...Object.fromEntries(rooms.map((room) => [`${room}/index`, `src/${room}/index.ts`])),
  },
  format: ["esm"],
  target: "node20",
  platform: "node",
  dts: true,
  sourcemap: true,
  clean: true,
  splitting: true,
});
