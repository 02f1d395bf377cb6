/**
 * The write path: one frame → index mutations, and each publisher's state.
 *
 *     frame ▶ pod, model ▶ batch (time, rank) ▶ publisher ▶ sequence ▶ identity ▶ events ▶ block index
 * @module
 */
import { Backlog } from "./backlog.js";
import { BatchWriter, isCutShort } from "./batch-writer.js";
import type { BlockIndex, Tiers } from "./block-index/index.js";
import type { Diagnostics, Finding } from "./diagnostics.js";
import { EventWriter } from "./event-writer.js";
import { BatchPool, decodeEventBatch, decodeInSteps, type EventBatch } from "./events/index.js";
import { checkFrame } from "./frame-check.js";
import { IdentityFinder } from "./identity-finder.js";
import type { KeyClasses } from "./key-classes.js";
import type { Models } from "./models.js";
import { Orphans } from "./orphans.js";
import type { PromptWalk } from "./prompt-walk.js";
import type { HeldFrame, Verdict } from "./publisher/index.js";
import { Publisher } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import { RecentPrompts } from "./recent-prompts.js";
import type { RecentRemovals } from "./recent-removals.js";
import type { ReplayFeeds } from "./replay-feeds.js";
import { type Nobody, Senders } from "./senders.js";
import type { Turns } from "./turns.js";
import type { KvFrame } from "./types.js";
import {
  ambiguousBlocks,
  engineRestarted,
  eventsSkipped,
  frameTooLarge,
  isPublishedTwice,
  joinedLate,
  orphansParked,
  publishedTwice,
  sequenceGap,
  tooManyPublishers,
  topicUnusable,
} from "./write-findings.js";

export interface WritePathOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly classes: KeyClasses;
  readonly models: Models;
  readonly publishers: Publishers;
  readonly diagnostics: Diagnostics;
  readonly removals: RecentRemovals;
  readonly feeds: ReplayFeeds;
  readonly walk: PromptWalk;
  readonly turns: Turns;
  readonly maxFrameBytes: number;
}

/** Frames beyond this are decoded in slices too, where that can be waited for; up to it, it takes a third of a millisecond. */
const LARGE_FRAME_BYTES = 64 * 1024;
/** Payload bytes decoded between two looks at the clock: a quarter of a millisecond. */
const DECODED_AT_ONCE = 128 * 1024;
/** Memory of a decoded batch by its payload's. */
const DECODED_TIMES = 4;
/** Room for the keys and tokens of a frame: those of {@link LARGE_FRAME_BYTES} mostly fit. */
const FRAME_WORDS = 32 * 1024;

/** At once, or in slices: as far as there is time now, or held first. */
type How = "whole" | "pausing" | "held";

export class WritePath {
  /** Frames, events and stores not applied, by reason. */
  readonly skips: Record<string, number> = {};
  frames = 0;
  #decoding = 0;
  /** What frames are decoded into, one after the other. */
  #pool = new BatchPool(FRAME_WORDS);
  readonly senders: Senders;
  readonly batches: BatchWriter;
  readonly identity: IdentityFinder;
  readonly backlog: Backlog;
  readonly orphans: Orphans;
  readonly #options: WritePathOptions;

  constructor(options: WritePathOptions) {
    this.#options = options;
    this.senders = new Senders(options);
    const writer = new EventWriter({
      index: options.index,
      tiers: options.tiers,
      classes: options.classes,
      onSkip: (reason, publisher) => {
        this.skip(reason);
        if (reason === "ambiguous") options.diagnostics.raise(ambiguousBlocks(publisher));
        if (reason === "parked" || reason === "parked-dropped")
          options.diagnostics.raise(orphansParked(publisher));
      },
      onParked: (publisher, store) => this.orphans.arrived(publisher, store),
      onPlaced: (publisher, store) => this.orphans.served(publisher, store),
    });
    const { index } = options;
    this.orphans = new Orphans({
      ...options,
      recent: new RecentPrompts(index.memoryLimitBytes, (bytes) => index.reserve(bytes)),
      adopt: (publisher, handle, own) => writer.adopt(publisher, handle, own),
    });
    this.identity = new IdentityFinder(options);
    this.batches = new BatchWriter(writer, this.identity, options.diagnostics, options.removals);
    this.backlog = new Backlog(options.turns, (publisher, frame) => this.#applyHeld(publisher, frame));
  }

  /**
   * Apply one frame. Never throws for what the frame holds. Returns whose it was, if that could be told.
   * @throws TypeError or RangeError if it is no frame
   */
  apply(frame: KvFrame): Publisher | undefined {
    return this.#accept(frame) ? this.#decodeAndApply(frame, "whole") : undefined;
  }

  /**
   * As {@link apply}, in slices where that takes long: frames of its publisher that come meanwhile wait behind it. The
   * promise settles when it is applied.
   */
  applySliced(frame: KvFrame): Publisher | undefined | Promise<Publisher | undefined> {
    if (!this.#accept(frame)) return undefined;
    if (frame.payload.length > LARGE_FRAME_BYTES) return this.#applyLarge(frame);
    const publisher = this.#decodeAndApply(frame, "pausing");
    if (!publisher?.held.size || publisher.mode === "undecided") return publisher;
    return this.backlog.drained(publisher).then(() => publisher);
  }

  #decodeAndApply(frame: KvFrame, how: How): Publisher | undefined {
    // What is kept for the next frame is no more than a frame of this size has.
    const pool = frame.payload.length <= LARGE_FRAME_BYTES && this.#pool.begin() ? this.#pool : undefined;
    try {
      return this.#applyDecoded(frame, decodeEventBatch(frame.payload, pool), how);
    } finally {
      pool?.end();
    }
  }

  /** Whether something that was handed over is not applied yet. */
  get isBusy(): boolean {
    return this.#decoding > 0 || !this.backlog.isEmpty || this.#options.turns.isBusy;
  }

  async #applyLarge(frame: KvFrame): Promise<Publisher | undefined> {
    this.#decoding++;
    try {
      const { turns } = this.#options;
      const steps = decodeInSteps(frame.payload, DECODED_AT_ONCE);
      let step = steps.next();
      for (; step.done !== true; step = steps.next()) if (!turns.worked()) await turns.next();
      const publisher = this.#applyDecoded(frame, step.value, "held");
      if (publisher !== undefined) await this.backlog.drained(publisher);
      return publisher;
    } finally {
      this.#decoding--;
    }
  }

  #accept(frame: KvFrame): boolean {
    checkFrame(frame);
    this.frames++;
    if (frame.payload.length <= this.#options.maxFrameBytes) return true;
    this.#reject("frame-too-large", frameTooLarge(frame, this.#options.maxFrameBytes));
    return false;
  }

  #applyDecoded(frame: KvFrame, batch: EventBatch, how: How): Publisher | undefined {
    const publisher = this.senders.of(frame, batch);
    if (!(publisher instanceof Publisher)) return this.#rejectOf(frame, batch, publisher);
    publisher.frames++;
    publisher.lastFrameAt = frame.receivedAt;
    publisher.unreachable = false;
    publisher.history.heardFrom(frame.source, this.#options.feeds.asks(frame.source));
    this.#options.diagnostics.contradictFrom(frame.source);
    const verdict = publisher.sequence.judge(frame.seq, batch.ts, frame.payload);
    if (!this.#inSequence(publisher, frame, verdict, batch.ts)) return publisher;
    if (batch.skipped.length > 0 || batch.failed !== null) this.#noteSkipped(publisher, batch);
    if (how === "held" || publisher.mode === "undecided" || publisher.held.size > 0)
      this.#hold(publisher, frame, batch, how, verdict.kind === "gap");
    else {
      const rest = this.batches.write(publisher, batch, frame.seq);
      if (rest !== undefined && how === "whole") while (rest.next().done !== true);
      // What it was decoded into goes with what is left of it.
      else if (rest !== undefined && !this.backlog.begin(publisher, rest))
        this.#pool = new BatchPool(FRAME_WORDS);
    }
    return publisher;
  }

  skip(reason: string): void {
    this.skips[reason] = (this.skips[reason] ?? 0) + 1;
  }

  *#applyHeld(
    publisher: Publisher,
    { seq, content, afterGap }: HeldFrame<EventBatch>,
  ): Generator<unknown, void> {
    if (afterGap) this.#noteGap(publisher, seq, publisher.gapped);
    const batch = content instanceof Uint8Array ? yield* decodeInSteps(content, DECODED_AT_ONCE) : content;
    yield* this.batches.write(publisher, batch, seq) ?? [];
  }

  #hold(publisher: Publisher, frame: KvFrame, batch: EventBatch, how: How, afterGap: boolean): void {
    const { seq, payload } = frame;
    const sliced = how === "held";
    // Decoded, a batch takes several times its bytes: kept so only where that took long and it is applied soon.
    const undecided = publisher.mode === "undecided";
    const content = sliced && !undecided ? batch : payload.slice();
    const bytes = (content === batch ? DECODED_TIMES : 1) * payload.length;
    const hasMemory = publisher.held.push(seq, content, bytes, afterGap);
    if (undecided) this.identity.consider(publisher, batch.events, hasMemory);
    // Worse than it was when it was told: what is stored under what was missed cannot be placed.
    if (undecided && publisher.mode === "tokens" && publisher.history.joinedAt !== undefined)
      this.#options.diagnostics.raise(joinedLate(publisher, publisher.history.joinedAt));
    // To try its hashing may have taken the slice.
    if (publisher.mode !== "undecided") this.backlog.release(publisher, how === "whole" ? undefined : 0);
  }

  /** Whether the frame is to be applied. */
  #inSequence(publisher: Publisher, frame: KvFrame, { kind, lost, doubtful }: Verdict, ts: number): boolean {
    const { diagnostics } = this.#options;
    switch (kind) {
      case "next":
        return true;
      case "duplicate":
        publisher.duplicateFrames++;
        this.skip("duplicate-frame");
        return false;
      case "late":
        publisher.lateFrames++;
        // It may be the first sign of a restart, and what the old process held be gone.
        if (doubtful === true && !publisher.gapped) publisher.markGap();
        this.skip("late-frame");
        return false;
      case "gap":
        publisher.gaps++;
        publisher.lostFrames += lost;
        this.#noteGap(publisher, frame.seq);
        return true;
      case "first":
        if (lost > 0n) this.#noteLate(publisher, frame.seq);
        return true;
      case "restart":
        publisher.restart({ seq: Number(frame.seq), at: ts * 1000 });
        if (lost === 0n) diagnostics.withdrawFrom(frame.source, "replay-incomplete");
        diagnostics.raise(engineRestarted(publisher, frame.seq));
        if (isPublishedTwice(publisher)) diagnostics.raise(publishedTwice(publisher));
        // What stood about the old process ended with it.
        else diagnostics.forgetPublisher(publisher);
        if (lost > 0n) this.#noteLate(publisher, frame.seq);
        return true;
    }
  }

  #noteLate(publisher: Publisher, seq: bigint): void {
    publisher.markIncomplete();
    publisher.history.joinedAt = seq;
    this.#options.diagnostics.raise(joinedLate(publisher, seq));
  }

  /** @param told - it was told when it was seen */
  #noteGap(publisher: Publisher, seq: bigint, told = false): void {
    publisher.markGap();
    publisher.history.gapAt = Number(seq);
    if (!told) this.#options.diagnostics.raise(sequenceGap(publisher, seq));
  }

  #noteSkipped(publisher: Publisher, batch: EventBatch): void {
    for (const { reason } of batch.skipped) this.skip(reason);
    if (batch.failed !== null) this.skip(batch.failed.reason);
    const lost = batch.skipped.some(({ reason }) => reason !== "unknown-type") || isCutShort(batch.failed);
    this.#options.diagnostics.raise(eventsSkipped(publisher, batch, lost));
  }

  #rejectOf(frame: KvFrame, batch: EventBatch, nobody: Nobody): undefined {
    if (nobody.reason === "unreadable") return this.#rejectUnreadable(frame, nobody.pod, nobody.model, batch);
    const tells = nobody.reason === "topic-unusable" ? topicUnusable : tooManyPublishers;
    return this.#reject(nobody.reason, tells(frame));
  }

  /**
   * A batch whose time cannot be read, or that broke off before it said whose of several ranks it is. Its number is not
   * taken into a sequence: where it belongs, it will be missing, and seen as the gap that it is.
   */
  #rejectUnreadable(frame: KvFrame, pod: string, model: string, batch: EventBatch): undefined {
    this.skip(batch.failed!.reason);
    const ofPod = this.#options.publishers.ofPod(model, pod);
    const rank = frame.dataParallelRank;
    const [known] = rank === undefined ? ofPod : ofPod.filter((other) => other.dataParallelRank === rank);
    if (known !== undefined && (rank !== undefined || ofPod.length === 1)) known.markIncomplete();
    this.#options.diagnostics.raise(eventsSkipped({ pod, model, dataParallelRank: rank }, batch, true));
    return undefined;
  }

  #reject(reason: string, finding: Finding): undefined {
    this.skip(reason);
    this.#options.diagnostics.raise(finding);
    return undefined;
  }
}
