/**
 * One batch of a publisher's events → changes of the index, in stretches of bounded work.
 * @module
 */
import type { Diagnostics } from "./diagnostics.js";
import { BLOCKS_PER_STRETCH, piecesOf, workOf } from "./event-pieces.js";
import type { EventWriter } from "./event-writer.js";
import type { BlockRemoved, BlockStored, EventBatch, KvEvent, SkippedEvent } from "./events/index.js";
import type { IdentityFinder } from "./identity-finder.js";
import type { Publisher } from "./publisher-state.js";
import type { RecentRemovals } from "./recent-removals.js";
import { RemovalRuns } from "./removal-runs.js";
import type { FrameMark } from "./stream-history.js";
import { duplicatesSwitched, tierNeverRemoves } from "./write-findings.js";

/** Salts, and adapters, of one publisher that are remembered: the newest, and none that is longer. */
const MAX_REMEMBERED = 8;
const MAX_NAME = 256;

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
  readonly #removals: RecentRemovals;
  readonly #runs = new RemovalRuns();

  constructor(
    writer: EventWriter,
    identity: IdentityFinder,
    diagnostics: Diagnostics,
    removals: RecentRemovals,
  ) {
    this.#removals = removals;
    this.#writer = writer;
    this.#identity = identity;
    this.#diagnostics = diagnostics;
  }

  /**
   * Apply a batch's events, and note in their midst where one could not be read: a clearing makes up for what was before
   * it. Returns the rest of a long batch, which pauses after each stretch of work.
   */
  write(publisher: Publisher, batch: EventBatch, seq: bigint): Generator<void, void> | undefined {
    const { ts, events, skipped, failed } = batch;
    const from = Number(seq);
    const at = ts * 1000;
    if (skipped.length > 0 || failed !== null) return this.#writeRest(publisher, batch, from, at, 0, 0);
    let work = 0;
    for (let next = 0; next < events.length && !publisher.removed; next++) {
      const run = takesTogether(publisher) ? this.#runs.take(events, next) : undefined;
      const event = run ?? events[next]!;
      const more = workOf(event);
      if (work + more >= BLOCKS_PER_STRETCH) {
        if (run !== undefined) this.#runs.giveBack();
        return this.#writeRest(publisher, batch, from, at, next, work);
      }
      work += more;
      if (run === undefined) {
        this.#note(publisher, event);
        this.#apply(publisher, event, from, at);
      } else next += this.#applyRun(publisher, run, from, at) - 1;
    }
    return undefined;
  }

  *#writeRest(
    publisher: Publisher,
    { events, skipped, failed }: EventBatch,
    seq: number,
    at: number,
    first: number,
    worked: number,
  ): Generator<void, void> {
    let skips = 0;
    let work = worked;
    for (let next = first; next < events.length; next++) {
      for (; skips < skipped.length && skipped[skips]!.index - skips <= next; skips++)
        lose(publisher, skipped[skips]!);
      // The host was told of something and has removed the pod.
      if (publisher.removed) return;
      const event = events[next]!;
      this.#note(publisher, event);
      work += workOf(event);
      if (work < BLOCKS_PER_STRETCH) {
        this.#apply(publisher, event, seq, at);
        continue;
      }
      for (const piece of piecesOf(event)) {
        if (publisher.removed) return;
        this.#apply(publisher, piece, seq, at);
        yield;
      }
      work = 0;
    }
    for (; skips < skipped.length; skips++) lose(publisher, skipped[skips]!);
    if (isCutShort(failed)) publisher.markGap();
  }

  /** Returns how many events that were. */
  #applyRun(publisher: Publisher, run: BlockRemoved, seq: number, at: number): number {
    const { events } = this.#runs;
    this.events.removed += events;
    try {
      this.#apply(publisher, run, seq, at);
    } finally {
      this.#runs.giveBack();
    }
    return events;
  }

  /** Look at an event as a whole. */
  #note(publisher: Publisher, event: KvEvent): void {
    if (event.type === "BlockStored") {
      this.events.stored++;
      this.#identity.observe(publisher, event);
      this.#noteExtraKeys(publisher, event);
    } else if (event.type === "BlockRemoved") this.events.removed++;
    else this.events.cleared++;
  }

  /** @param seq - with `at`, of the event's frame: see {@link FrameMark} */
  #apply(publisher: Publisher, event: KvEvent, seq: number, at: number): void {
    this.#removals.from(seq, at);
    const { gapped } = publisher;
    this.#writer.apply(publisher, event);
    if (publisher.residency.changed !== undefined) tellResidency(this.#diagnostics, publisher);
    // What the gap made doubtful is gone.
    if (gapped && !publisher.gapped)
      this.#diagnostics.withdraw("sequence-gap", publisher.model, publisher.pod, publisher.dataParallelRank);
    if (event.type !== "AllBlocksCleared") return;
    publisher.history.clearedBy = { seq, at };
    if (!publisher.complete) return;
    publisher.history.joinedAt = undefined;
    const { model, pod, dataParallelRank } = publisher;
    for (const code of ["sequence-gap", "joined-late", "orphans-parked"] as const)
      this.#diagnostics.withdraw(code, model, pod, dataParallelRank);
  }

  #noteExtraKeys({ model, saltsSeen, lorasSeen }: Publisher, event: BlockStored): void {
    if (event.loraName !== null || event.loraId !== null) bump(this.withLora, model);
    if (event.loraName !== null) remember(lorasSeen, event.loraName);
    const salt = event.cacheSalt ?? (event.parentKey === null ? saltOf(event) : null);
    if (salt === null) return;
    bump(this.salted, model);
    remember(saltsSeen, salt);
  }
}

/**
 * Whether removals in a row are taken together: not where some may be of blocks that are not known, since each of those says
 * by itself how far the cache has turned over, or of groups that are not followed, each of which is counted.
 */
function takesTogether({ complete, gapped, otherGroups }: Publisher): boolean {
  return complete && !gapped && otherGroups === 0;
}

/** On a first block a string that is not the adapter's name is a salt, or an older wire's bare image identifier. */
function saltOf({ extraKeys, loraName }: BlockStored): string | null {
  const first = extraKeys === null || extraKeys.length === 0 ? null : extraKeys[0]!;
  if (first === null) return null;
  for (const key of first) if (typeof key === "string" && key !== loraName) return key;
  return null;
}

/** An event could not be read. What may have been a removal leaves what is held as a lost frame does. */
function lose(publisher: Publisher, { type, reason }: SkippedEvent): void {
  if (reason === "unknown-type") return;
  if (type === "BlockStored") publisher.markIncomplete();
  else publisher.markGap();
}

/** Events may be missing at its end. */
export function isCutShort(failed: EventBatch["failed"]): boolean {
  return failed !== null && failed.reason !== "trailing-bytes";
}

/** Tell what its stores and removals gave away, or that it holds no more. */
function tellResidency(diagnostics: Diagnostics, publisher: Publisher): void {
  const { residency, model, pod, dataParallelRank } = publisher;
  const { changed } = residency;
  residency.changed = undefined;
  if (changed === "copies") diagnostics.raise(duplicatesSwitched(publisher));
  else if (residency.doubtedTiers.length > 0) diagnostics.raise(tierNeverRemoves(publisher));
  else diagnostics.withdraw("tier-never-removes", model, pod, dataParallelRank);
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function remember(names: Set<string>, name: string): void {
  if (names.has(name) || name.length > MAX_NAME) return;
  if (names.size >= MAX_REMEMBERED) names.delete(names.values().next().value!);
  names.add(name);
}
