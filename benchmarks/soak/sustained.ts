/** One engine's stream at the highest rate that is taken without loss, for minutes; then bursts; then closed under way. */
import { Indexer, type IndexerOptions, type KvFrame } from "kvblock";
import { openEventSocket } from "kvblock/events";
import { portRun } from "../../test/support/ports.js";
import { collectGarbage, holdings, LoopWatch, MIB, sleep, slope } from "./figures.js";
import { BLOCKS, MODEL, requestOf } from "./prompts.js";
import { PublisherProcess } from "./publishers.js";
import { isTooLong, SliceWatch, sliceLine } from "./slices.js";
import { CHAIN_BLOCKS, PROBE_EVERY, PROBE_LIFE, PROBE_REMOVED_AFTER, RESIDENT_CHAINS } from "./stream.js";

const POD = "10.0.0.7";
/** Batches on their way: enough to keep both sides busy, a tenth of what ZeroMQ keeps. */
const WINDOW = 10_000;
const ACK_EVERY = 500;
/** Until all chains are resident and removed again, and not less than so long: V8 enlarges its heap for a minute. */
const WARM_UP_FRAMES = 4 * RESIDENT_CHAINS;
const WARM_UP_MS = 60_000;
/** So often is a probe scored meanwhile: V8 compiles what scores as it does where prompts come all the time. */
const WARM_UP_SCORES = 50;
/** A collection of everything makes V8's heap small; it is watched when it is as large again as it was. */
const SETTLE_MS = 60_000;
const BURST = 60_000;
const BIG_FRAMES = 200;
const BIG_BLOCKS = 512;
/** Frames of one event, nearly as large as one may be. */
const HUGE_FRAMES = 5;
const HUGE_BLOCKS = 180_000;

/** MiB of the heap and of buffers that are in use. */
function live(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / MIB;
}

function slopes(points: readonly (readonly [number, number])[]): string {
  return `${slope(points).slope.toFixed(2)} (${slope(points.slice(points.length >> 1)).slope.toFixed(2)})`;
}

export async function sustained(
  minutes: number,
  mode: "auto" | "tokens",
  tsconfig: string,
): Promise<boolean> {
  const events = await portRun(2);
  const replay = events + 1;
  const publisher = await PublisherProcess.open({ events, replay, pod: POD, life: 1 }, tsconfig);
  // The first socket of a process starts libzmq's own threads, which stay.
  await (await openEventSocket({ endpoint: "tcp://127.0.0.1:0", bind: true })).close();
  await sleep(200);
  const before = holdings();
  const hash: IndexerOptions["hash"] = { mode };
  const indexer = await Indexer.create({ onDiagnostic: null, hash });
  const blocksOf = (life: number, id: number, blocks?: number): number =>
    indexer.scoreTokens(requestOf(life, id, blocks), { model: MODEL }).get(POD)?.blocks ?? 0;

  let received = 0;
  let bytes = 0;
  let isPaused = false;
  let isWarm = false;
  /** The big frames take numbers that would be probes'. */
  let areBig = false;
  let probes = 0;
  let wrong = 0;
  const acknowledge = (): void => {
    if (!isPaused) publisher.ack(received);
  };
  /** Called before the frame is applied, when all before it are: so probes are held to the frame. */
  const onFrame = ({ seq, payload }: KvFrame): void => {
    received = Number(seq) + 1;
    bytes += payload.length;
    // What it takes to tell another process is no part of a slice.
    if (received % ACK_EVERY === 0) setImmediate(acknowledge);
    const place = Number(seq) % PROBE_EVERY;
    const probe = Math.floor(Number(seq) / PROBE_EVERY);
    if (areBig || probe === 0 || (place !== 1 && place !== PROBE_REMOVED_AFTER + 1)) return;
    probes++;
    const expected = place === 1 ? BLOCKS : 0;
    let blocks = blocksOf(PROBE_LIFE, probe);
    if (!isWarm) for (let i = 0; i < WARM_UP_SCORES; i++) blocks = blocksOf(PROBE_LIFE, probe);
    if (blocks !== expected && ++wrong <= 3)
      console.log(
        `  wrong before frame ${seq}: ${blocks} for ${expected}`,
        JSON.stringify(indexer.pods()[0]),
      );
  };
  const subscription = await indexer.subscribe({
    endpoint: `tcp://127.0.0.1:${events}`,
    replayEndpoint: `tcp://127.0.0.1:${replay}`,
    onFrame,
    lendsPayloads: true,
  });
  while (subscription.transport?.connected !== 1) await sleep(5);
  await sleep(100);
  const until = async (count: number): Promise<void> => {
    while (received < count) await sleep(5);
  };

  await publisher.tell({ type: "stream", window: WINDOW });
  const started = performance.now();
  while (received < WARM_UP_FRAMES || performance.now() - started < WARM_UP_MS) await sleep(100);
  isWarm = true;
  const liveBefore = live();
  await sleep(SETTLE_MS);

  const from = { at: performance.now(), received, bytes };
  const points: [number, number][] = [];
  /** Of what RSS is made: pages of V8's heap, buffers outside it, and the rest, which the system's allocator has. */
  const v8: [number, number][] = [];
  const buffers: [number, number][] = [];
  const rest: [number, number][] = [];
  let isLong = false;
  const watched = async (slices: SliceWatch): Promise<string> => {
    const figures = await slices.stop();
    isLong ||= isTooLong(figures);
    return sliceLine(figures);
  };
  let watch = new LoopWatch();
  let slices = new SliceWatch();
  while (performance.now() - from.at < minutes * 60_000) {
    await sleep(1000);
    const at = (performance.now() - from.at) / 60_000;
    const { rss, heapTotal, external } = process.memoryUsage();
    points.push([at, rss / MIB]);
    v8.push([at, heapTotal / MIB]);
    buffers.push([at, external / MIB]);
    rest.push([at, (rss - heapTotal - external) / MIB]);
  }
  const held = watch.stop();
  const sliced = await watched(slices);
  const seconds = (performance.now() - from.at) / 1000;
  const rate = (received - from.received) / seconds;
  const rss = slope(points);
  const later = slope(points.slice(points.length >> 1));
  const gained = live() - liveBefore;
  const values = points.map(([, value]) => value);
  console.log(
    `sustained, ${mode} mode: ${(seconds / 60).toFixed(1)} minutes, ${received - from.received} frames`,
  );
  console.log(
    `  ${rate.toFixed(0)} frames/s, ${((rate * CHAIN_BLOCKS) / 1e6).toFixed(2)} M block operations/s, ` +
      `${((bytes - from.bytes) / seconds / MIB).toFixed(1)} MiB/s`,
  );
  console.log(
    `  RSS ${values[0]!.toFixed(0)} MiB at first, ${values.at(-1)!.toFixed(0)} at last, ` +
      `${Math.min(...values).toFixed(0)} … ${Math.max(...values).toFixed(0)}; ` +
      `slope ${rss.slope.toFixed(2)} ± ${rss.error.toFixed(2)} MiB/min (${points.length} samples), ` +
      `of the second half ${later.slope.toFixed(2)} ± ${later.error.toFixed(2)}`,
  );
  console.log(
    `  of it MiB/min, all and second half: V8's pages ${slopes(v8)}, buffers ${slopes(buffers)}, rest ${slopes(rest)}; ` +
      `live after a collection ${liveBefore.toFixed(1)} MiB at first, ${gained.toFixed(2)} more at last`,
  );
  console.log(`  ${held}\n  ${sliced}`);

  isPaused = true;
  await sleep(500); // the window runs full, and the line empty
  const quiet = received;
  watch = new LoopWatch();
  slices = new SliceWatch();
  const published = await publisher.tell({ type: "burst", count: BURST });
  await until(published);
  console.log(
    `burst of ${published - quiet} frames of ${CHAIN_BLOCKS} blocks: ${watch.stop()}\n  ${await watched(slices)}`,
  );
  areBig = true;
  watch = new LoopWatch();
  slices = new SliceWatch();
  const ids = Array.from({ length: BIG_FRAMES }, (_, id) => id);
  await until(await publisher.tell({ type: "store", ids, blocks: BIG_BLOCKS }));
  const heldByBig = watch.stop();
  const slicedBig = await watched(slices);
  await sleep(50);
  const missing = ids.filter((id) => blocksOf(1, id, BIG_BLOCKS) !== BIG_BLOCKS).length;
  console.log(`${BIG_FRAMES} frames of ${BIG_BLOCKS} blocks: ${heldByBig}\n  ${slicedBig}`);
  watch = new LoopWatch();
  slices = new SliceWatch();
  const hugeIds = Array.from({ length: HUGE_FRAMES }, (_, id) => BIG_FRAMES + id);
  const bytesBefore = bytes;
  await until(await publisher.tell({ type: "store", ids: hugeIds, blocks: HUGE_BLOCKS }));
  await indexer.settled();
  const hugeMib = (bytes - bytesBefore) / HUGE_FRAMES / MIB;
  console.log(
    `${HUGE_FRAMES} frames of one event of ${hugeMib.toFixed(1)} MiB: ${watch.stop()}\n  ${await watched(slices)}`,
  );
  if (blocksOf(1, BIG_FRAMES, HUGE_BLOCKS) !== HUGE_BLOCKS) wrong++;

  const pod = indexer.pods()[0]!;
  console.log(
    `  state ${pod.state}, complete ${pod.complete}, lost frames ${pod.lostFrames}, mode ${pod.mode}; ` +
      `probes ${probes}, wrong ${wrong + missing}; blocks ${indexer.stats().blocks}`,
  );
  isPaused = false;
  publisher.ack(received); // and it streams again
  await sleep(500);
  const closing = performance.now();
  await indexer.close();
  const closeMs = performance.now() - closing;
  await sleep(500);
  const after = holdings();
  console.log(`closed under way in ${closeMs.toFixed(1)} ms`);
  console.log(`  held before ${JSON.stringify(before)}\n  held after  ${JSON.stringify(after)}`);
  await publisher.kill();
  return !isLong && wrong + missing === 0 && pod.lostFrames === 0 && pod.complete;
}
