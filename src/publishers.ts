/**
 * All publishers that are known, found by pod, model and rank, by model, or by their number in the block index.
 * @module
 */
import { NO_OWNER } from "./block-index/index.js";
import type { Publisher } from "./publisher-state.js";

/** Pods, models and ranks come from outside: past this many publishers, new ones are skipped and counted. */
export const MAX_PUBLISHERS = 65_536;

const NONE: readonly Publisher[] = [];

/** A model's publishers, in the order in which they were first heard. */
interface ModelPublishers {
  all: Publisher[];
  readonly byPod: Map<string, Publisher[]>;
}

export class Publishers {
  readonly #byName = new Map<string, Publisher>();
  readonly #byModel = new Map<string, ModelPublishers>();
  readonly #byOwner: (Publisher | undefined)[] = [];
  readonly #freeOwners: number[] = [];

  get size(): number {
    return this.#byName.size;
  }

  find(pod: string, model: string, dataParallelRank: number): Publisher | undefined {
    const ranks = this.ofPod(model, pod);
    // Asked with every frame; mostly there is one rank, and a name of three parts takes longer to make than that.
    const first = ranks[0];
    if (first === undefined || first.dataParallelRank === dataParallelRank) return first;
    return this.#byName.get(nameOf(pod, model, dataParallelRank));
  }

  /** The number for a new publisher. */
  nextOwner(): number {
    return this.#freeOwners.pop() ?? Math.max(NO_OWNER + 1, this.#byOwner.length);
  }

  add(publisher: Publisher): void {
    this.#byName.set(nameOf(publisher.pod, publisher.model, publisher.dataParallelRank), publisher);
    this.#byOwner[publisher.owner] = publisher;
    let ofModel = this.#byModel.get(publisher.model);
    if (ofModel === undefined) this.#byModel.set(publisher.model, (ofModel = { all: [], byPod: new Map() }));
    ofModel.all.push(publisher);
    const ranks = ofModel.byPod.get(publisher.pod);
    if (ranks === undefined) ofModel.byPod.set(publisher.pod, [publisher]);
    else ranks.push(publisher);
  }

  /** Void and forget all ranks of a pod. Returns how many there were. */
  removePod(pod: string): number {
    let removed = 0;
    for (const [name, publisher] of this.#byName) {
      if (publisher.pod !== pod) continue;
      publisher.remove();
      this.#byName.delete(name);
      const ofModel = this.#byModel.get(publisher.model)!;
      ofModel.byPod.delete(pod);
      ofModel.all = ofModel.all.filter((other) => other.pod !== pod);
      if (ofModel.all.length === 0) this.#byModel.delete(publisher.model);
      this.#byOwner[publisher.owner] = undefined;
      this.#freeOwners.push(publisher.owner);
      removed++;
    }
    return removed;
  }

  byOwner(owner: number): Publisher | undefined {
    return this.#byOwner[owner];
  }

  ofModel(model: string): readonly Publisher[] {
    return this.#byModel.get(model)?.all ?? NONE;
  }

  /** The ranks of one pod that serve a model. */
  ofPod(model: string, pod: string): readonly Publisher[] {
    return this.#byModel.get(model)?.byPod.get(pod) ?? NONE;
  }

  /** Those of several pods, in their order. */
  ofPods(model: string, pods: readonly string[]): readonly Publisher[] {
    const byPod = this.#byModel.get(model)?.byPod;
    if (byPod === undefined) return NONE;
    const found: Publisher[] = [];
    for (const pod of pods) for (const publisher of byPod.get(pod) ?? NONE) found.push(publisher);
    return found;
  }

  models(): Iterable<string> {
    return this.#byModel.keys();
  }

  [Symbol.iterator](): Iterator<Publisher> {
    return this.#byName.values();
  }
}

function nameOf(pod: string, model: string, dataParallelRank: number): string {
  // Names may hold any character: the pod's length says where it ends.
  return `${dataParallelRank} ${pod.length} ${pod}${model}`;
}
