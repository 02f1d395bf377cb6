/**
 * One engine of a recorded cluster: the model engine's cache under continuous batching, without sockets or time.
 *
 * A step is a token of every running request, as vLLM v1 has it. Requests complete a block every `blockSize` steps, so
 * in each step a `blockSize`-th of them does: only these are moved, by a whole block. A step's events are one batch.
 */
import type { BlockManager, ScheduledRequest } from "../../examples/engine/block-manager.js";
import type { CacheEvent } from "../../examples/engine/cache-events.js";
import type { WorkItem } from "./requests.js";

export interface PodEngineOptions {
  readonly blocks: BlockManager;
  /** Requests that run at once. */
  readonly maxSequences: number;
  /** Prompt tokens of one step; a longer prompt takes several. */
  readonly maxBatchedTokens: number;
}

interface Sequence {
  readonly request: ScheduledRequest;
  readonly output: Uint32Array;
  generated: number;
}

export class PodEngine {
  readonly #options: PodEngineOptions;
  readonly #waiting: Sequence[] = [];
  readonly #running: Sequence[] = [];
  #prefilling: Sequence | undefined;
  #requests = 0;
  #turn = 0;

  constructor(options: PodEngineOptions) {
    this.#options = options;
  }

  /** Requests that are not done. */
  get load(): number {
    return this.#waiting.length + this.#running.length + (this.#prefilling === undefined ? 0 : 1);
  }

  submit({ prompt, output }: WorkItem): void {
    this.#waiting.push({ request: { id: String(this.#requests++), tokens: prompt }, output, generated: 0 });
  }

  /** @returns the step's events, none if nothing happened */
  step(): readonly CacheEvent[] {
    const { blocks } = this.#options;
    this.#prefill();
    const share = Math.ceil(this.#running.length / blocks.blockSize);
    for (let i = 0; i < share && this.#running.length > 0; i++) this.#decode();
    return blocks.takeEvents();
  }

  /** A part of a prompt, like vLLM's chunked prefill; nothing while the blocks do not suffice. */
  #prefill(): void {
    const { blocks, maxSequences, maxBatchedTokens } = this.#options;
    const next = this.#prefilling ?? this.#waiting[0];
    if (next === undefined) return;
    const { id } = next.request;
    if (this.#prefilling === undefined) {
      if (this.#running.length >= maxSequences) return;
      if (blocks.schedule(next.request, maxBatchedTokens) === null) {
        // A prompt larger than the whole pool would wait for ever.
        if (this.#running.length === 0) blocks.finish(this.#waiting.shift()!.request.id);
        return;
      }
      this.#prefilling = this.#waiting.shift();
    } else if (!blocks.compute(id, maxBatchedTokens)) {
      this.#preempt();
      return;
    }
    if (blocks.pendingTokens(id) > 0) return;
    this.#running.push(next);
    this.#prefilling = undefined;
  }

  /** The next request gains a block's worth of tokens. */
  #decode(): void {
    const { blocks } = this.#options;
    const at = this.#turn++ % this.#running.length;
    const sequence = this.#running[at]!;
    const next = sequence.output.subarray(sequence.generated, sequence.generated + blocks.blockSize);
    const taken = blocks.append(sequence.request.id, next);
    sequence.generated += taken;
    if (taken < next.length) this.#preempt();
    else if (sequence.generated >= sequence.output.length) {
      blocks.finish(sequence.request.id);
      this.#running.splice(at, 1);
    }
  }

  /** The blocks ran out: the request that came last gives its own back and starts again. */
  #preempt(): void {
    const last = this.#prefilling ?? this.#running.pop()!;
    this.#prefilling = undefined;
    this.#options.blocks.preempt(last.request.id);
    this.#waiting.unshift(last);
  }
}
