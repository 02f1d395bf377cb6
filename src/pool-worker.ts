/**
 * `kvblock/pool-worker`: the script of a pool's threads, for hosts that bundle their code and so must give its URL.
 * Does nothing where it is imported outside of such a thread.
 * @module
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { PlanHasher } from "./hash-plan.js";
import { serve } from "./threads/index.js";
import type { Tokenizer } from "./types.js";
import { encodeChat, loadTokenizer, type WorkerTask } from "./worker-protocol.js";

/** In a thread's `workerData`: it is a pool's. */
const POOL_THREAD = "kvblock/pool";

/** Serve a pool on a port. */
export function serveTasks(port: MessagePort): void {
  const tokenizers = new Map<number, Tokenizer>();
  let now = 0;
  let hasher: Promise<PlanHasher> | undefined;
  const tokensOf = async (tokens: Iterable<number> | Promise<Iterable<number>>) => {
    const found = await tokens;
    // Handed over, so what a tokenizer keeps for itself must be copied.
    const own = Uint32Array.from(found);
    return { value: own, transfer: [own.buffer] };
  };
  serve<WorkerTask>(port, async (task) => {
    switch (task.do) {
      case "load": {
        const options = { ...task.options, now: () => new Date(now) };
        const tokenizer = await loadTokenizer(task.source, options);
        tokenizers.set(task.tokenizer, tokenizer);
        return { value: tokenizer.degraded };
      }
      case "encode":
        return tokensOf(tokenizers.get(task.tokenizer)!.encode(task.text, task.options));
      case "encodeChat":
        now = task.now;
        return tokensOf(encodeChat(tokenizers.get(task.tokenizer)!, task.messages, task.options));
      case "hash": {
        const lists = (await (hasher ??= PlanHasher.load())).hash(task.tokens, task.plan);
        const made = lists.map(({ keys, digests }) => (digests ?? keys).buffer as ArrayBuffer);
        return { value: lists, transfer: made };
      }
    }
  });
}

if (parentPort !== null && workerData === POOL_THREAD) serveTasks(parentPort);
