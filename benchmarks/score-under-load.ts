/**
 * What does ingest at full rate do to scoring in the same process? A prompt of 8,192 tokens that four pods hold is scored
 * every few milliseconds while the chats' events of 8 engines come through sockets as fast as they are taken, and then
 * while none come: the same indexer, the same prompts, the same pace. `call` is what `scoreTokens` takes; `due to answer`
 * has the wait for the event loop too.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { summary } from "./run/figures.js";
import { median } from "./run/measure.js";
import { createIndexer, MODES } from "./run/modes.js";
import type { Run, Unit } from "./run/question.js";
import { seeded, tokensOf } from "./run/random.js";
import { Cluster } from "./wire/cluster.js";
import { Fleet } from "./workload/fleet.js";
import { loadStream, streamOf } from "./workload/load.js";
import { DEFAULT_STREAM, MODEL } from "./workload/stream.js";

const TOKENS = 8192;
const PROMPTS = 64;
const EVERY_MS = 4;
const WARM_UP_CALLS = 6000;
const COST: Unit = ["us", "lower"];
/** The prompts' holders are not among the stream's engines. */
const FIRST_HOLDER = 200;

export async function run({ full, options, report, progress }: Run): Promise<void> {
  const seconds = full ? 30 : 6;
  const stream = await (options["stream"] === undefined
    ? streamOf(DEFAULT_STREAM, progress)
    : loadStream(options["stream"], progress));
  for (const mode of MODES) {
    await using indexer = await createIndexer(mode);
    const random = seeded(5);
    const fleet = await Fleet.create(FIRST_HOLDER + 4);
    const prompts = Array.from({ length: PROMPTS }, () => tokensOf(random, TOKENS + 1));
    for (const prompt of prompts)
      for (let holder = 0; holder < 4; holder++)
        indexer.apply(fleet.frame(FIRST_HOLDER + holder, fleet.held(prompt, (TOKENS / 16) >> holder)));

    /** Scores at the pace for so long. */
    const measure = async (): Promise<{ call: number[]; answer: number[] }> => {
      const call: number[] = [];
      const answer: number[] = [];
      const until = performance.now() + 1000 * seconds;
      for (
        let due = performance.now() + EVERY_MS;
        due < until;
        due = Math.max(due, performance.now()) + EVERY_MS
      ) {
        await sleep(Math.max(0, due - performance.now()));
        const started = performance.now();
        const scores = indexer.scoreTokens(prompts[call.length % PROMPTS]!, { model: MODEL });
        const ended = performance.now();
        if (scores.best?.tokens !== TOKENS) throw new Error("a prompt that a pod holds does not match");
        call.push((ended - started) * 1000);
        // A timer may fire a little early.
        answer.push((ended - Math.min(due, started)) * 1000);
      }
      return { call, answer };
    };
    await using cluster = await Cluster.follow(indexer, stream.path);
    cluster.saturate(() => {});
    // Warms up both: what scores a prompt is compiled after thousands of calls, which takes its time here and there.
    for (let call = 0; call < WARM_UP_CALLS; call++) {
      if (call % 4 === 0) await sleep(1);
      indexer.scoreTokens(prompts[call % PROMPTS]!, { model: MODEL });
    }
    progress(`${mode} mode, while events come`);
    const busy = await measure();
    cluster.pause();
    await sleep(500);
    progress(`${mode} mode, while none come`);
    const idle = await measure();
    cluster.resume();
    await cluster.stop();
    for (const [events, { call, answer }] of [
      ["at full rate", busy],
      ["none", idle],
    ] as const) {
      report("score while ingesting, call", { mode, events }, COST, call);
      report("score while ingesting, due to answer", { mode, events }, COST, answer);
    }
    report(
      "score while ingesting / idle, median of a call",
      { mode },
      ["times", "lower"],
      [median(busy.call) / median(idle.call)],
    );
    report(
      "score while ingesting / idle, p99 of a call",
      { mode },
      ["times", "lower"],
      [summary(busy.call).p99 / summary(idle.call).p99],
    );
  }
}
