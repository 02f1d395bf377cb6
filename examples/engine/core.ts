/**
 * The engine's loop: continuous batching in steps, as vLLM v1's scheduler and engine core have it.
 *
 * Each step computes one token of every running request and as much of the waiting prompts as the step's token
 * budget allows, takes as long as that work would, samples, and publishes the step's events as one batch. When the
 * blocks run out, the request that came last gives its blocks back and waits. Source: vLLM
 * `vllm/v1/core/sched/scheduler.py`.
 * @module
 */
import { setImmediate, setTimeout } from "node:timers/promises";
import type { BlockManager, ScheduledRequest } from "./block-manager.js";
import type { CacheEvent } from "./cache-events.js";
import { Continuation } from "./model.js";

/** How long the engine's work takes. */
export interface Timing {
  /** Once per request, before it is queued: tokenization, transport. */
  readonly requestOverheadMs: number;
  /** Speed of prompt tokens that are not cached. */
  readonly prefillTokensPerSecond: number;
  /** One step of all running requests. */
  readonly decodeStepMs: number;
}

export interface CoreOptions {
  readonly blocks: BlockManager;
  readonly timing: Timing;
  /** Requests that run at once. */
  readonly maxSequences: number;
  /** Tokens of one step: a longer prompt takes several. */
  readonly maxBatchedTokens: number;
  readonly isSpecial: (token: number) => boolean;
  /** Takes one step's events; never called without any. */
  readonly publish: (events: readonly CacheEvent[]) => void;
}

export interface Generation extends Omit<ScheduledRequest, "id"> {
  readonly maxTokens: number;
  /** Go on at a special token instead of stopping there. */
  readonly ignoreEos: boolean;
}

export interface Sampled {
  readonly token: number;
  readonly finishReason: "length" | "stop" | null;
  /** Prompt tokens that were reused when the request first ran. */
  readonly cachedTokens: number;
}

interface Sequence {
  readonly request: ScheduledRequest;
  readonly generation: Generation;
  readonly continuation: Continuation;
  /** Set when it first runs. */
  cachedTokens: number | null;
  generated: number;
  readonly outputs: Sampled[];
  wake: () => void;
}

export class EngineCore {
  readonly #options: CoreOptions;
  readonly #running: Sequence[] = [];
  readonly #waiting: Sequence[] = [];
  #loop: Promise<void> | null = null;
  #requests = 0;
  #queriedTokens = 0;
  #hitTokens = 0;

  constructor(options: CoreOptions) {
    this.#options = options;
  }

  /** For `/metrics`. */
  get stats(): { running: number; waiting: number; queriedTokens: number; hitTokens: number } {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      queriedTokens: this.#queriedTokens,
      hitTokens: this.#hitTokens,
    };
  }

  /** Queue a request and yield its tokens. Leaving the loop or aborting the signal frees its blocks. */
  async *generate(generation: Generation, signal: AbortSignal): AsyncGenerator<Sampled, void, void> {
    await pause(this.#options.timing.requestOverheadMs);
    if (signal.aborted) return;
    const sequence: Sequence = {
      request: { ...generation, id: `${this.#requests++}` },
      generation,
      continuation: new Continuation(generation.tokens, this.#options.isSpecial),
      cachedTokens: null,
      generated: 0,
      outputs: [],
      wake: () => {},
    };
    const onAbort = (): void => {
      this.#drop(sequence);
      sequence.wake();
    };
    signal.addEventListener("abort", onAbort);
    this.#waiting.push(sequence);
    this.#loop ??= this.#run();
    try {
      while (!signal.aborted) {
        const sampled = sequence.outputs.shift();
        if (sampled === undefined) {
          await new Promise<void>((resolve) => {
            sequence.wake = resolve;
          });
        } else {
          yield sampled;
          if (sampled.finishReason !== null) return;
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#drop(sequence);
    }
  }

  /** Wait until nothing runs. */
  async idle(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { timing } = this.#options;
    // The first step begins in the next turn of the event loop, with every request of this one.
    await pause(0);
    while (this.#running.length + this.#waiting.length > 0) {
      const { prefillTokens, decodes } = this.#schedule();
      await pause(
        (prefillTokens / timing.prefillTokensPerSecond) * 1000 + (decodes > 0 ? timing.decodeStepMs : 0),
      );
      const sampled = this.#sample();
      const events = this.#options.blocks.takeEvents();
      if (events.length > 0) this.#options.publish(events);
      for (const sequence of sampled) sequence.wake();
    }
    // At once, not when the promise settles: a request that is queued in between must start a loop of its own.
    this.#loop = null;
  }

  /** Give every running request its tokens, then start waiting ones, within the step's budget. */
  #schedule(): { prefillTokens: number; decodes: number } {
    const { blocks, maxBatchedTokens, maxSequences } = this.#options;
    let budget = maxBatchedTokens;
    let decodes = 0;
    let preempted = false;
    for (let index = 0; index < this.#running.length && budget > 0; index++) {
      const sequence = this.#running[index]!;
      const tokens = Math.min(budget, blocks.pendingTokens(sequence.request.id));
      while (index < this.#running.length && !blocks.compute(sequence.request.id, tokens)) {
        const last = this.#running.pop()!;
        blocks.preempt(last.request.id);
        this.#waiting.unshift(last);
        preempted = true;
      }
      if (index === this.#running.length) break;
      budget -= tokens;
      if (sequence.generated > 0) decodes++;
    }
    while (!preempted && this.#waiting.length > 0 && this.#running.length < maxSequences && budget > 0) {
      const sequence = this.#waiting[0]!;
      const scheduled = blocks.schedule(sequence.request, budget);
      if (scheduled === null) break;
      this.#running.push(this.#waiting.shift()!);
      const total = sequence.generation.tokens.length + sequence.generated;
      budget -= total - scheduled.cachedTokens - blocks.pendingTokens(sequence.request.id);
      if (sequence.cachedTokens !== null) continue;
      sequence.cachedTokens = scheduled.cachedTokens;
      this.#queriedTokens += total;
      this.#hitTokens += scheduled.cachedTokens;
    }
    return { prefillTokens: maxBatchedTokens - budget - decodes, decodes };
  }

  /** One token for every request whose tokens are all computed. */
  #sample(): Sequence[] {
    const { blocks, isSpecial } = this.#options;
    const ready = this.#running.filter(({ request }) => blocks.pendingTokens(request.id) === 0);
    for (const sequence of ready) {
      const { maxTokens, ignoreEos } = sequence.generation;
      const token = sequence.continuation.next();
      blocks.append(sequence.request.id, [token]);
      sequence.generated++;
      const stops = !ignoreEos && isSpecial(token);
      const finishReason = stops ? "stop" : sequence.generated >= maxTokens ? "length" : null;
      sequence.outputs.push({ token, finishReason, cachedTokens: sequence.cachedTokens! });
      if (finishReason !== null) this.#drop(sequence);
    }
    return ready;
  }

  #drop(sequence: Sequence): void {
    for (const queue of [this.#running, this.#waiting]) {
      const index = queue.indexOf(sequence);
      if (index >= 0) queue.splice(index, 1);
    }
    this.#options.blocks.finish(sequence.request.id);
  }
}

/** Timers are a millisecond at least: work that takes no time only lets others have their turn. */
async function pause(ms: number): Promise<void> {
  if (ms > 0) await setTimeout(ms);
  else await setImmediate();
}
