/**
 * The write path: one frame → index mutations, and each publisher's state.
 *
 *     frame ▶ pod, model ▶ batch (time, rank) ▶ publisher ▶ sequence ▶ identity ▶ events ▶ block index
 * @module
 */
import { Backlog } from "./backlog.js";
import type { BlockIndex, Tiers } from "./block-index/index.js";
import type { Diagnostics } from "./diagnostics.js";
import { checkInteger, rangeMistake, typeMistake } from "./errors.js";
import { EventWriter } from "./event-writer.js";
import { decodeEventBatch, type EventBatch, type KvEvent, parseTopic } from "./events/index.js";
import { IdentityFinder } from "./identity-finder.js";
import type { KeyClasses } from "./key-classes.js";
import type { Models } from "./models.js";
import type { Verdict } from "./publisher/index.js";
import { PUBLISHER_BYTES, Publisher } from "./publisher-state.js";
import { MAX_PUBLISHERS, type Publishers } from "./publishers.js";
import type { KvFrame } from "./types.js";
import {
  ambiguousBlocks,
  engineRestarted,
  eventsSkipped,
  frameTooLarge,
  joinedLate,
  orphansParked,
  publishedTwice,
  QUICK_RESTARTS,
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
  readonly maxFrameBytes: number;
}

export class WritePath {
  /** Frames, events and stores not applied, by reason. */
  readonly skips: Record<string, number> = {};
  readonly events: { stored: number; removed: number; cleared: number } = {
    stored: 0,
    removed: 0,
    cleared: 0,
  };
  frames = 0;
  /** By model: stores with a salt, or of an adapter, that a lookup must name to match. */
  readonly salted: Map<string, number> = new Map();
  readonly withLora: Map<string, number> = new Map();
  readonly identity: IdentityFinder;
  readonly backlog: Backlog;
  readonly #options: WritePathOptions;
  readonly #writer: EventWriter;

  constructor(options: WritePathOptions) {
    this.#options = options;
    this.#writer = new EventWriter({
      index: options.index,
      tiers: options.tiers,
      classes: options.classes,
      onSkip: (reason, publisher) => {
        this.skip(reason);
        if (reason === "ambiguous") options.diagnostics.raise(ambiguousBlocks(publisher));
        if (reason === "parked" || reason === "parked-dropped")
          options.diagnostics.raise(orphansParked(publisher));
      },
    });
    this.identity = new IdentityFinder(options);
    this.backlog = new Backlog((publisher, { seq, payload, afterGap }) => {
      if (afterGap) this.#noteGap(publisher, seq, publisher.gapped);
      this.#applyBatch(publisher, decodeEventBatch(payload));
    });
  }

  /**
   * Apply one frame. Never throws for what the frame holds. Returns whose it was, if that could be told.
   * @throws TypeError or RangeError if it is no frame
   */
  apply(frame: KvFrame): Publisher | undefined {
    checkFrame(frame);
    this.frames++;
    if (frame.payload.length > this.#options.maxFrameBytes)
      return this.#rejectFrame(frame, "frame-too-large");
    const topic = parseTopic(frame.topic);
    const pod = frame.pod ?? topic.pod;
    const named = frame.model ?? topic.model;
    if (pod === null || named === null || pod === "" || named === "") return this.#rejectTopic(frame);
    const batch = decodeEventBatch(frame.payload);
    const { model } = this.#options.models.resolve(named);
    if (Number.isNaN(batch.ts)) return this.#rejectUnreadable(frame, pod, model, batch);
    const rank = frame.dataParallelRank ?? batch.dataParallelRank ?? this.#rankOfBroken(pod, model, batch);
    if (rank === undefined) return this.#rejectUnreadable(frame, pod, model, batch);
    const publisher = this.#publisher(pod, model, rank);
    if (publisher === undefined) return this.#rejectFrame(frame, "too-many-publishers");
    publisher.frames++;
    publisher.lastFrameAt = frame.receivedAt;
    publisher.unreachable = false;
    for (const code of ["topic-unusable", "frame-rejected"] as const)
      this.#options.diagnostics.contradict(code, { source: frame.source });
    const verdict = publisher.sequence.judge(frame.seq, batch.ts, frame.payload);
    if (!this.#inSequence(publisher, frame, verdict)) return publisher;
    this.#noteSkipped(publisher, batch);
    if (publisher.mode === "undecided" || publisher.held.size > 0)
      this.#hold(publisher, frame, batch, verdict.kind === "gap");
    else this.#applyBatch(publisher, batch);
    return publisher;
  }

  skip(reason: string): void {
    this.skips[reason] = (this.skips[reason] ?? 0) + 1;
  }

  /** Apply a batch's events, and note in their midst where one could not be read: a clearing makes up for what was before it. */
  #applyBatch(publisher: Publisher, { events, skipped, failed }: EventBatch): void {
    let at = 0;
    for (const [i, { index, reason }] of skipped.entries()) {
      while (at < index - i) this.#applyEvent(publisher, events[at++]!);
      if (reason !== "unknown-type") publisher.markIncomplete();
    }
    while (at < events.length) this.#applyEvent(publisher, events[at++]!);
    if (isCutShort(failed)) publisher.markIncomplete();
  }

  #applyEvent(publisher: Publisher, event: KvEvent): void {
    if (event.type === "BlockStored") {
      this.events.stored++;
      this.identity.observe(publisher, event);
      this.#noteExtraKeys(publisher.model, event);
    } else if (event.type === "BlockRemoved") this.events.removed++;
    else this.events.cleared++;
    this.#writer.apply(publisher, event);
    if (event.type !== "AllBlocksCleared" || !publisher.complete) return;
    const { model, pod, dataParallelRank } = publisher;
    for (const code of ["sequence-gap", "joined-late", "orphans-parked"] as const)
      this.#options.diagnostics.withdraw(code, model, pod, dataParallelRank);
  }

  #hold(publisher: Publisher, { seq, payload }: KvFrame, { events }: EventBatch, afterGap: boolean): void {
    const hasMemory = publisher.held.push(seq, payload, afterGap);
    if (publisher.mode === "undecided") this.identity.consider(publisher, events, hasMemory);
    if (publisher.mode !== "undecided") this.backlog.release(publisher);
  }

  #publisher(pod: string, model: string, rank: number): Publisher | undefined {
    const { publishers, models, index, tiers } = this.#options;
    const known = publishers.find(pod, model, rank);
    if (known !== undefined) return known;
    if (publishers.size >= MAX_PUBLISHERS || !index.reserve(PUBLISHER_BYTES)) return undefined;
    const owner = publishers.nextOwner();
    const settings = models.settings(model);
    const publisher = new Publisher({ pod, model, dataParallelRank: rank, owner }, settings, index, tiers);
    publishers.add(publisher);
    return publisher;
  }

  /** The rank where the batch does not say: 0, but a batch that broke off before saying it may be any known rank's. */
  #rankOfBroken(pod: string, model: string, batch: EventBatch): number | undefined {
    if (batch.failed === null || batch.failed.reason === "trailing-bytes") return 0;
    const ranks = this.#options.publishers.ofModel(model).filter((publisher) => publisher.pod === pod);
    return ranks.length > 1 ? undefined : (ranks[0]?.dataParallelRank ?? 0);
  }

  /** Whether the frame is to be applied. */
  #inSequence(publisher: Publisher, frame: KvFrame, { kind, lost }: Verdict): boolean {
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
        this.skip("late-frame");
        return false;
      case "gap":
        publisher.gaps++;
        publisher.lostFrames += lost;
        this.#noteGap(publisher, frame.seq);
        return true;
      case "first":
        if (lost > 0n) {
          publisher.markIncomplete();
          diagnostics.raise(joinedLate(publisher, frame.seq));
        }
        return true;
      case "restart":
        publisher.restart();
        if (lost > 0n) publisher.markIncomplete();
        if (lost === 0n) diagnostics.withdrawFrom(frame.source, "replay-incomplete");
        diagnostics.raise(engineRestarted(publisher, frame.seq));
        if (publisher.quickRestarts >= QUICK_RESTARTS) diagnostics.raise(publishedTwice(publisher));
        // What stood about the old process ended with it.
        else diagnostics.forgetPublisher(publisher);
        return true;
    }
  }

  /** @param told - it was told when it was seen */
  #noteGap(publisher: Publisher, seq: bigint, told = false): void {
    publisher.markGap();
    if (!told) this.#options.diagnostics.raise(sequenceGap(publisher, seq));
  }

  #noteSkipped(publisher: Publisher, batch: EventBatch): void {
    for (const { reason } of batch.skipped) this.skip(reason);
    if (batch.failed !== null) this.skip(batch.failed.reason);
    const lost = batch.skipped.some(({ reason }) => reason !== "unknown-type") || isCutShort(batch.failed);
    if (lost) publisher.markIncomplete();
    if (batch.skipped.length > 0 || batch.failed !== null)
      this.#options.diagnostics.raise(eventsSkipped(publisher, batch, lost));
  }

  /**
   * A batch whose time cannot be read, or that broke off before it said whose of several ranks it is. Its number is not
   * taken into a sequence: where it belongs, it will be missing, and seen as the gap that it is.
   */
  #rejectUnreadable(frame: KvFrame, pod: string, model: string, batch: EventBatch): undefined {
    this.skip(batch.failed!.reason);
    const ofPod = this.#options.publishers.ofModel(model).filter((publisher) => publisher.pod === pod);
    const rank = frame.dataParallelRank;
    const [known] = rank === undefined ? ofPod : ofPod.filter((other) => other.dataParallelRank === rank);
    if (known !== undefined && (rank !== undefined || ofPod.length === 1)) known.markIncomplete();
    this.#options.diagnostics.raise(eventsSkipped({ pod, model, dataParallelRank: rank }, batch, true));
    return undefined;
  }

  #noteExtraKeys(model: string, event: KvEvent & { type: "BlockStored" }): void {
    if (event.loraName !== null || event.loraId !== null) bump(this.withLora, model);
    const first = event.parentKey === null ? (event.extraKeys?.[0] ?? []) : [];
    // On a first block a string that is not the adapter's name is a salt, or an older wire's bare image identifier.
    if (event.cacheSalt !== null || first.some((key) => typeof key === "string" && key !== event.loraName))
      bump(this.salted, model);
  }

  #rejectFrame(frame: KvFrame, reason: "frame-too-large" | "too-many-publishers"): undefined {
    this.skip(reason);
    this.#options.diagnostics.raise(
      reason === "frame-too-large"
        ? frameTooLarge(frame, this.#options.maxFrameBytes)
        : tooManyPublishers(frame),
    );
    return undefined;
  }

  #rejectTopic(frame: KvFrame): undefined {
    this.skip("topic-unusable");
    this.#options.diagnostics.raise(topicUnusable(frame));
    return undefined;
  }
}

/** Events may be missing at its end. */
function isCutShort(failed: EventBatch["failed"]): boolean {
  return failed !== null && failed.reason !== "trailing-bytes";
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Frames come from anywhere: JSON has no bigint, and a worker's message may be another object. */
function checkFrame(frame: KvFrame): void {
  if (typeof frame !== "object" || frame === null) throw typeMistake("frame", "a KvFrame", frame);
  const { topic, seq, payload, receivedAt, pod, model, dataParallelRank } = frame;
  if (typeof topic !== "string") throw typeMistake("frame.topic", "string", topic);
  if (typeof seq !== "bigint") throw typeMistake("frame.seq", "bigint", seq);
  if (!(payload instanceof Uint8Array)) throw typeMistake("frame.payload", "Uint8Array", payload);
  if (typeof receivedAt !== "number")
    throw typeMistake("frame.receivedAt", "milliseconds as a number", receivedAt);
  if (!Number.isFinite(receivedAt)) throw rangeMistake("frame.receivedAt", "finite milliseconds", receivedAt);
  if (pod !== undefined && typeof pod !== "string") throw typeMistake("frame.pod", "string", pod);
  if (model !== undefined && typeof model !== "string") throw typeMistake("frame.model", "string", model);
  if (dataParallelRank !== undefined)
    checkInteger("frame.dataParallelRank", dataParallelRank, 0, 0xffff_ffff);
}
