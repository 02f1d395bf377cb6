/**
 * How fast is the block index, how much memory does a block take, and how long is its longest pause?
 *
 *     npm run bench -- block-index [blocks] [--json]
 */
import { BlockIndex, type HolderLine } from "kvblock/block-index";
import { PrefixScorer } from "kvblock/score";
import { measure, type Result, report, seeded } from "./measure.js";

const PODS = 64;
const PROMPT_BLOCKS = 1000;
const BATCH = 64;

const blocks = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 1_000_000);
const random = seeded(42);
const keys = Uint32Array.from({ length: 2 * blocks }, () => Math.floor(random() * 2 ** 32));
const results: Result[] = [];

// Each batch of blocks is held by 1 to 4 pods.
const holders: number[][] = [];
for (let from = 0; from < blocks; from += BATCH)
  holders.push(Array.from({ length: 1 + Math.floor(random() * 4) }, () => Math.floor(random() * PODS)));

function fill(index: BlockIndex, lines: readonly HolderLine[]): { added: number; longestMs: number } {
  let added = 0;
  let longestMs = 0;
  for (let from = 0, i = 0; from < blocks; from += BATCH, i++)
    for (const pod of holders[i]!) {
      const started = performance.now();
      index.add(lines[pod]!, keys, from, Math.min(blocks, from + BATCH));
      longestMs = Math.max(longestMs, performance.now() - started);
      added += BATCH;
    }
  return { added, longestMs };
}

const make = (): { index: BlockIndex; lines: HolderLine[] } => {
  const index = new BlockIndex({ memoryLimitBytes: 8 * 2 ** 30 });
  return { index, lines: Array.from({ length: PODS }, (_, pod) => index.openLine(pod + 1, 0, 0)) };
};

let { index, lines } = make();
const { added } = fill(index, lines);
let longest = 0;
results.push(
  measure(
    "add, an empty index filled",
    "M/s",
    (ms) => added / ms / 1000,
    () => {
      ({ index, lines } = make());
      longest = fill(index, lines).longestMs;
    },
    3,
  ),
  { name: `add, longest pause for ${BATCH} blocks`, unit: "ms", median: longest, min: longest, max: longest },
  measure(
    "add, duplicates",
    "M/s",
    (ms) => added / ms / 1000,
    () => fill(index, lines),
    3,
  ),
);
const bytes = index.usedBytes / index.blocks;
results.push({
  name: "memory at 1 to 4 holders",
  unit: "bytes per block",
  median: bytes,
  min: bytes,
  max: bytes,
});

// A prompt that 64 pods hold to different depths, between the other blocks.
const prompt = Uint32Array.from({ length: 2 * PROMPT_BLOCKS }, () => Math.floor(random() * 2 ** 32));
for (const [pod, line] of lines.entries()) index.add(line, prompt, 0, pod < 4 ? PROMPT_BLOCKS : 10 * pod);
const scorer = new PrefixScorer(index.slots);
const candidates = lines.map(({ owner }) => ({ owner, groups: 1, implyAncestors: false }));
results.push(
  measure(
    `lookup and score, ${PROMPT_BLOCKS} blocks, ${PODS} pods`,
    "us",
    (ms) => (ms * 1000) / 100,
    () => {
      for (let i = 0; i < 100; i++) {
        scorer.begin(candidates, [1]);
        index.lookup(prompt, scorer);
      }
    },
  ),
);
const popular = new BlockIndex();
const system = prompt.subarray(0, 800);
const many = Array.from({ length: 1024 }, (_, pod) => popular.openLine(pod + 1, 0, 0));
const score = (pods: number): void => {
  const who = many.slice(0, pods).map(({ owner }) => ({ owner, groups: 1, implyAncestors: false }));
  const each = new PrefixScorer(popular.slots);
  for (let i = 0; i < 10; i++) {
    each.begin(who, [1]);
    popular.lookup(system, each);
  }
};
for (const pods of [8, 1024]) {
  for (const line of many.slice(0, pods)) popular.add(line, system);
  results.push(
    measure(
      `lookup and score, 400 blocks all held by ${pods} pods`,
      "us",
      (ms) => (ms * 1000) / 10,
      () => score(pods),
    ),
  );
}
results.push(
  measure(
    "evict, all",
    "M/s",
    (ms) => added / ms / 1000,
    () => {
      for (let from = 0, i = 0; from < blocks; from += BATCH, i++)
        for (const pod of holders[i]!) index.evict(lines[pod]!, keys, from, Math.min(blocks, from + BATCH));
    },
    3,
  ),
);
report(results);
