/**
 * What do the block index's verbs cost, by blocks, pods and holders of a block?
 *
 *     npm run bench -- block-index --blocks 1M,40M --pods 64,1024 --holders 1,1-4,all
 *
 * The blocks are in prompts of 1,000. The first of a prompt's holders has all of it, the others have a part from its
 * beginning on. Pods add and evict 64 blocks at a time. A lookup walks one whole prompt, each time another one, and
 * scores every pod. Rates count (block, holder) pairs.
 */
import { BlockIndex, type HolderLine } from "kvblock/block-index";
import { PrefixScorer } from "kvblock/score";
import { sample } from "./run/measure.js";
import { numbers, type Run, type Unit } from "./run/question.js";
import { between, keysOf, seeded } from "./run/random.js";
import { threadTime } from "./run/thread-time.js";

const PROMPT = 1000;
const BATCH = 64;
/** Samples of a rate: each is a stretch of the work. */
const STRETCHES = 40;
/** All blocks at all pods may be more than a machine can hold: such combinations are left out of `--full`. */
const MOST_PAIRS = 400e6;
const MEMORY_LIMIT_BYTES = 16 * 2 ** 30;
const RATE: Unit = ["M pairs/s", "higher"];
const LOOKUP: Unit = ["us", "lower"];

interface Shape {
  readonly blocks: number;
  readonly pods: number;
  /** `4`, `1-4` or `all`. */
  readonly holders: string;
}

/** Which pods have each prompt, and how many of its blocks: of prompt `p` from `ends[p - 1]` to `ends[p]`. */
interface Holders {
  readonly ends: Uint32Array;
  readonly pods: Uint16Array;
  readonly blocks: Uint16Array;
}

export function run({ full, options, report, progress }: Run): void {
  for (const shape of shapes(full, options)) {
    progress(`${shape.blocks} blocks, ${shape.pods} pods, ${shape.holders} holders`);
    measureShape(shape, report, progress);
  }
  for (const pods of [8, 64, 256, 1024]) measurePopular(pods, report);
}

function shapes(full: boolean, options: Run["options"]): Shape[] {
  const chosen = ["blocks", "pods", "holders"].some((name) => name in options);
  if (!chosen && !full)
    return [
      ...[1e6, 10e6, 40e6].map((blocks) => ({ blocks, pods: 64, holders: "1-4" })),
      ...[8, 256, 1024].map((pods) => ({ blocks: 1e6, pods, holders: "1-4" })),
      ...["1", "4", "16", "all"].map((holders) => ({ blocks: 1e6, pods: 64, holders })),
    ];
  const sizes = numbers(options["blocks"], full ? [1e6, 10e6, 40e6] : [1e6]);
  const pods = numbers(options["pods"], full ? [8, 64, 256, 1024] : [64]);
  const holders = options["holders"]?.split(",") ?? (full ? ["1", "1-4", "16", "all"] : ["1-4"]);
  return sizes
    .flatMap((blocks) => pods.flatMap((pods) => holders.map((holders) => ({ blocks, pods, holders }))))
    .filter((shape) => holderRange(shape)[1] <= shape.pods)
    .filter((shape) => !full || shape.blocks * holderRange(shape)[1] <= MOST_PAIRS);
}

function holderRange({ holders, pods }: Shape): [low: number, high: number] {
  if (holders === "all") return [pods, pods];
  const [, low, high] = /^(\d+)(?:-(\d+))?$/.exec(holders) ?? [];
  if (low === undefined) throw new RangeError(`--holders expected words like 4, 1-4 or all; got ${holders}`);
  return [Number(low), Number(high ?? low)];
}

function measureShape(shape: Shape, report: Run["report"], progress: Run["progress"]): void {
  const random = seeded(42);
  const keys = keysOf(random, shape.blocks);
  const prompts = Math.max(1, Math.floor(shape.blocks / PROMPT));
  const holders = holdersOf(shape, prompts, random);
  const by = { blocks: shape.blocks, pods: shape.pods, holders: shape.holders };
  const index = new BlockIndex({ memoryLimitBytes: MEMORY_LIMIT_BYTES });
  const lines = Array.from({ length: shape.pods }, (_, pod) => index.openLine(pod + 1, 0, 0));

  /** Calls `verb` for every batch of the prompts' blocks. @returns rates, and the longest calls in milliseconds */
  const forAll = (
    from: number,
    to: number,
    verb: (line: HolderLine, first: number, end: number) => void,
  ): { rates: number[]; longestMs: number; longestRanMs: number } => {
    const rates: number[] = [];
    let longestMs = 0;
    let longestRanMs = 0;
    const stretch = Math.max(1, Math.ceil((to - from) / STRETCHES));
    for (let prompt = from; prompt < to; ) {
      const end = Math.min(to, prompt + stretch);
      let pairs = 0;
      const started = performance.now();
      let told = { at: started, ran: threadTime().ran };
      for (; prompt < end; prompt++) {
        // Seldom: it takes as long as a prompt's tenth.
        if (prompt % 64 === 0) told = { at: performance.now(), ran: threadTime().ran };
        for (let holder = holders.ends[prompt - 1] ?? 0; holder < holders.ends[prompt]!; holder++) {
          const [pod, blocks] = [holders.pods[holder]!, holders.blocks[holder]!];
          for (let at = 0; at < blocks; at += BATCH) {
            const first = prompt * PROMPT + at;
            const called = performance.now();
            verb(lines[pod]!, first, first + Math.min(BATCH, blocks - at));
            const ended = performance.now();
            if (ended - called <= longestRanMs) continue;
            longestMs = Math.max(longestMs, ended - called);
            // What was without a core since then is taken for this call's.
            const lost = ended - told.at - (threadTime().ran - told.ran);
            longestRanMs = Math.max(longestRanMs, ended - called - lost);
          }
          pairs += blocks;
        }
      }
      rates.push(pairs / (performance.now() - started) / 1000);
    }
    return { rates, longestMs, longestRanMs };
  };
  const add = (line: HolderLine, first: number, end: number): void => index.add(line, keys, first, end);

  const added = forAll(0, prompts, add);
  report("add", by, RATE, added.rates);
  report("add, longest call of 64 blocks", by, ["ms", "lower"], [added.longestMs]);
  if (!Number.isNaN(added.longestRanMs))
    report("add, longest call, processor time", by, ["ms", "lower"], [added.longestRanMs]);
  report("memory that the index counts", by, ["bytes/block", "lower"], [index.usedBytes / index.blocks]);

  progress(`${shape.blocks} blocks, ${shape.pods} pods, lookups`);
  const scorer = new PrefixScorer(index.slots);
  const candidates = lines.map(({ owner }) => ({ owner, groups: 1, implyAncestors: false }));
  let found = 0;
  const times = sample(
    () => {
      // By chance: a prompt that was not looked up lately, so its entries are in no cache.
      const first = PROMPT * Math.floor(random() * prompts);
      const prompt = keys.subarray(2 * first, 2 * (first + PROMPT));
      const matches = scorer.begin(candidates, [1]);
      index.lookup(prompt, scorer);
      found = 0;
      for (let pod = 0; pod < matches.length; pod++) found = Math.max(found, matches.blocks(pod));
      if (found !== PROMPT) throw new Error(`a prompt of ${PROMPT} blocks matched ${found}`);
    },
    { ms: 1500, min: 200, warmUpMs: 500 },
  );
  const inUs = times.map((ms) => ms * 1000);
  report("lookup and score, 1,000 blocks", by, LOOKUP, inUs);

  // A tenth of the prompts goes, and comes back; and once more, while the blocks of cleared pods are swept.
  const some = Math.max(1, Math.floor(prompts / 10));
  const evicted = forAll(0, some, (line, first, end) => index.evict(line, keys, first, end));
  report("evict", by, RATE, evicted.rates);
  report("add again what was evicted", by, RATE, forAll(0, some, add).rates);

  forAll(0, some, (line, first, end) => index.evict(line, keys, first, end));
  const cleared = lines.slice(0, Math.max(1, shape.pods >> 3));
  const clearing = cleared.map((line) => {
    const started = performance.now();
    index.clear(line);
    return (performance.now() - started) * 1000;
  });
  report("clear one pod", by, LOOKUP, clearing);
  report("add while what was cleared is swept", by, RATE, forAll(0, some, add).rates);
}

/** The law of popular prompts: a system prompt of 400 blocks that every pod has; every pod's score is read. */
function measurePopular(pods: number, report: Run["report"]): void {
  const prompt = keysOf(seeded(7), 400);
  const index = new BlockIndex();
  const lines = Array.from({ length: pods }, (_, pod) => index.openLine(pod + 1, 0, 0));
  for (const line of lines) index.add(line, prompt);
  const scorer = new PrefixScorer(index.slots);
  const candidates = lines.map(({ owner }) => ({ owner, groups: 1, implyAncestors: false }));
  const times = sample(
    () => {
      const matches = scorer.begin(candidates, [1]);
      index.lookup(prompt, scorer);
      let sum = 0;
      for (let pod = 0; pod < pods; pod++) sum += matches.score(pod, [1]);
      if (sum !== 400 * pods) throw new Error("a pod lost the system prompt");
    },
    { ms: 700 },
  );
  report(
    "lookup and score, 400 blocks that all pods hold",
    { pods },
    LOOKUP,
    times.map((ms) => ms * 1000),
  );
}

/** In arrays of numbers: a collection that marks a million small ones would be taken for the index's. */
function holdersOf(shape: Shape, prompts: number, random: () => number): Holders {
  const [low, high] = holderRange(shape);
  const ends = new Uint32Array(prompts);
  const pods = new Uint16Array(prompts * high);
  const blocks = new Uint16Array(prompts * high);
  for (let prompt = 0, end = 0; prompt < prompts; prompt++) {
    for (const [i, pod] of distinct(random, between(random, low, high), shape.pods).entries()) {
      pods[end] = pod;
      // Where every pod has everything, it has all of it.
      blocks[end++] = i === 0 || low === shape.pods ? PROMPT : between(random, 1, PROMPT / 16) * 16;
    }
    ends[prompt] = end;
  }
  return { ends, pods, blocks };
}

function distinct(random: () => number, count: number, of: number): number[] {
  const all = Uint16Array.from({ length: of }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const other = between(random, i, of - 1);
    [all[i], all[other]] = [all[other]!, all[i]!];
  }
  return Array.from(all.subarray(0, count));
}
