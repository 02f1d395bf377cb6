/**
 * One implementation in a process that holds nothing else: what loading it takes, and the first text of each length.
 * Started by tokenize.ts with `--expose-gc`; its argument is a piece of JSON, its answer goes over the IPC channel.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CORPORA, type Corpus, slices } from "./corpora.js";
import { type Implementation, loadEncoder, type Model } from "./encoders.js";

export interface FreshArguments {
  readonly implementation: Implementation;
  readonly model: Model;
  readonly corpus: Corpus;
  readonly tokens: number;
}

export interface Fresh {
  readonly loadMs: number;
  /** What the process got from the system for it, once garbage is gone. */
  readonly rssBytes: number;
  /** Tokens and milliseconds of the first text. */
  readonly tokens: number;
  readonly encodeMs: number;
}

const { implementation, model, corpus, tokens } = JSON.parse(process.argv[2]!) as FreshArguments;
const text = slices(CORPORA[corpus](), tokens)[0]!;
const collect = async (): Promise<number> => {
  for (let i = 0; i < 3; i++) {
    globalThis.gc!();
    await sleep(20);
  }
  return process.memoryUsage().rss;
};
const before = await collect();
let started = performance.now();
const encode = await loadEncoder(implementation, model);
const loadMs = performance.now() - started;
const rssBytes = (await collect()) - before;
started = performance.now();
const found = (await encode(text)).length;
const encodeMs = performance.now() - started;
process.send!({ loadMs, rssBytes, tokens: found, encodeMs } satisfies Fresh, () => process.disconnect());
