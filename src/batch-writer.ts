/**
 * One batch of a publisher's events → changes of the index, in stretches of bounded work.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import { BLOCKS_PER_STRETCH, piecesOf, workOf } from "./event-pieces.js";
import type { EventWriter } from "./event-writer.js";
import type { BlockStored, EventBatch, KvEvent } from "./events/index.js";
import type { IdentityFinder } from "./identity-finder.js";
import type { Publisher } from "./publisher-state.js";

export class BatchWriter {
  readonly events: { stored: number; removed: number; cleared: number } = {
    stored: 0,
    removed: 0,
    cleared: 0,
  };
  /** By model: stores with a salt, or of an adapter, that a lookup must name to match. */
  readonly salted: Map<string, number> = new Map();
  readonly withLora: Map<string, number> = new Map();
  readonly #writer: EventWriter;
  readonly #identity: IdentityFinder;
  readonly #diagnostics: Diagnostics;

  constructor(writer: EventWriter, identity: IdentityFinder, diagnostics: Diagnostics) {
    this.#writer = writer;
    this.#identity = identity;
    this.#diagnostics = diagnostics;
  }

  /**
   * Apply a batch's events, and note in their midst where one could not be read: a clearing makes up for what was before
   * it. Pauses after each stretch of work.
   */
  *write(publisher: Publisher, { events, skipped, failed }: EventBatch): Generator<void, void> {
    let skips = 0;
    let work = 0;
    for (let at = 0; at < events.length; at++) {
      for (; skips < skipped.length && skipped[skips]!.index - skips <= at; skips++)
        if (skipped[skips]!.reason !== "unknown-type") publisher.markIncomplete();
      // The host was told of something and has removed the pod.
      if (publisher.removed) return;
      const event = events[at]!;
      this.#note(publisher, event);
      work += workOf(event);
      if (work < BLOCKS_PER_STRETCH) {
        this.#apply(publisher, event);
        continue;
      }
      for (const piece of piecesOf(event)) {
        this.#apply(publisher, piece);
        yield;
      }
      work = 0;
    }
    if (isCutShort(failed) || skipped.slice(skips).some(({ reason }) => reason !== "unknown-type"))
      publisher.markIncomplete();
  }

  /** Look at an event as a whole. */
  #note(publisher: Publisher, event: KvEvent): void {
    if (event.type === "BlockStored") {
      this.events.stored++;
      this.#identity.observe(publisher, event);
      this.#noteExtraKeys(publisher.model, event);
    } else if (event.type === "BlockRemoved") this.events.removed++;
    else this.events.cleared++;
  }

  #apply(publisher: Publisher, event: KvEvent): void {
    this.#writer.apply(publisher, event);
    if (event.type !== "AllBlocksCleared" || !publisher.complete) return;
    const { model, pod, dataParallelRank } = publisher;
    for (const code of ["sequence-gap", "joined-late", "orphans-parked"] as const)
      this.#diagnostics.withdraw(code, model, pod, dataParallelRank);
  }

  #noteExtraKeys(model: string, event: BlockStored): void {
    if (event.loraName !== null || event.loraId !== null) bump(this.withLora, model);
    const first = event.parentKey === null ? (event.extraKeys?.[0] ?? []) : [];
    // On a first block a string that is not the adapter's name is a salt, or an older wire's bare image identifier.
    if (event.cacheSalt !== null || first.some((key) => typeof key === "string" && key !== event.loraName))
      bump(this.salted, model);
  }
}

/** Events may be missing at its end. */
export function isCutShort(failed: EventBatch["failed"]): boolean {
  return failed !== null && failed.reason !== "trailing-bytes";
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
