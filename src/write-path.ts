/**
 * The write path: one frame → index mutations, and each publisher's state.
 *
 *     frame ▶ pod, model ▶ batch (time, rank) ▶ publisher ▶ sequence ▶ identity ▶ events ▶ block index
 * @module
 */
import type { BlockIndex, Tiers } from "./block-index/index.js";
import type { Diagnostics } from "./diagnostics.js";
import { EventWriter } from "./event-writer.js";
import { decodeEventBatch, type EventBatch, type KvEvent, parseTopic } from "./events/index.js";
import { IdentityFinder } from "./identity-finder.js";
import type { KeyClasses } from "./key-classes.js";
import type { Models } from "./models.js";
import { Publisher } from "./publisher-state.js";
import { MAX_PUBLISHERS, type Publishers } from "./publishers.js";
import type { KvFrame } from "./types.js";

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
  readonly events = { stored: 0, removed: 0, cleared: 0 };
  frames = 0;
  /** By model: stores with a salt, or of an adapter, that a lookup must name to match. */
  readonly salted = new Map<string, number>();
  readonly withLora = new Map<string, number>();
  readonly identity: IdentityFinder;
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
        if (reason === "ambiguous") this.#reportAmbiguous(publisher);
        if (reason === "parked") this.#reportParked(publisher);
      },
    });
    this.identity = new IdentityFinder(options);
  }

  /** Apply one frame. Never throws for what the frame holds. Returns whose it was, if that could be told. */
  apply(frame: KvFrame): Publisher | undefined {
    this.frames++;
    if (frame.payload.length > this.#options.maxFrameBytes)
      return this.#rejectFrame(frame, "frame-too-large");
    const topic = parseTopic(frame.topic);
    const pod = frame.pod ?? topic.pod;
    const named = frame.model ?? topic.model;
    if (pod === null || named === null || pod === "" || named === "") return this.#rejectTopic(frame);
    const batch = decodeEventBatch(frame.payload);
    const { model } = this.#options.models.resolve(named);
    const rank = frame.dataParallelRank ?? batch.dataParallelRank ?? this.#rankOfBroken(pod, model, batch);
    if (rank === undefined) {
      // Whose it was is not known, but its number is missing in the right publisher's sequence: it will be seen as a gap.
      this.skip("unattributed-frame");
      return undefined;
    }
    const publisher = this.#publisher(pod, model, rank);
    if (publisher === undefined) return this.#rejectFrame(frame, "too-many-publishers");
    publisher.frames++;
    publisher.lastFrameAt = frame.receivedAt;
    publisher.unreachable = false;
    if (!this.#inSequence(publisher, frame, batch)) return publisher;
    this.#noteSkipped(publisher, batch);
    if (publisher.mode === "undecided") this.#hold(publisher, batch, frame.payload.length);
    else for (const event of batch.events) this.#applyEvent(publisher, event);
    return publisher;
  }

  skip(reason: string): void {
    this.skips[reason] = (this.skips[reason] ?? 0) + 1;
  }

  /** Apply what waited for the publisher's mode, now that it is settled. */
  release(publisher: Publisher): void {
    for (const event of publisher.releaseHeld()) this.#applyEvent(publisher, event);
  }

  #applyEvent(publisher: Publisher, event: KvEvent): void {
    if (event.type === "BlockStored") {
      this.events.stored++;
      this.identity.observe(publisher, event);
      this.#noteExtraKeys(publisher.model, event);
    } else if (event.type === "BlockRemoved") this.events.removed++;
    else this.events.cleared++;
    this.#writer.apply(publisher, event);
  }

  #hold(publisher: Publisher, batch: EventBatch, payloadBytes: number): void {
    this.identity.hold(publisher, batch.events, payloadBytes);
    if (publisher.mode !== "undecided") this.release(publisher);
  }

  #publisher(pod: string, model: string, rank: number): Publisher | undefined {
    const { publishers, models, index, tiers } = this.#options;
    const known = publishers.find(pod, model, rank);
    if (known !== undefined || publishers.size >= MAX_PUBLISHERS) return known;
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
  #inSequence(publisher: Publisher, frame: KvFrame, batch: EventBatch): boolean {
    const { kind, lost } = publisher.sequence.judge(frame.seq, batch.ts, frame.payload);
    const who = { model: publisher.model, pod: publisher.pod, dataParallelRank: publisher.dataParallelRank };
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
        publisher.markGap();
        diagnostics.raise({
          code: "sequence-gap",
          severity: "warning",
          message: `${publisher.pod}: ${publisher.lostFrames} event frames were lost in ${publisher.gaps} gaps; what it held before is suspect.`,
          fix: "Raise the engine's hwm and the subscription's receiveHighWaterMark, and keep the host's event loop free; a restart of the engine or a cache reset makes its history complete again.",
          ...who,
          evidence: {
            lastSeq: frame.seq.toString(),
            lostFrames: Number(publisher.lostFrames),
            gaps: publisher.gaps,
          },
        });
        return true;
      case "first":
        if (lost > 0n) {
          publisher.markIncomplete();
          this.#reportJoinedLate(publisher, frame.seq);
        }
        return true;
      case "restart":
        publisher.restart();
        if (lost > 0n) publisher.markIncomplete();
        diagnostics.withdraw("sequence-gap", who.model, who.pod, who.dataParallelRank);
        diagnostics.raise({
          code: "engine-restarted",
          severity: "info",
          message: `${publisher.pod}: the engine process was restarted; what the old one held is void.`,
          fix: "Nothing, if the restart was meant.",
          ...who,
          evidence: { seq: frame.seq.toString(), generation: publisher.generation },
        });
        return true;
    }
  }

  #noteSkipped(publisher: Publisher, batch: EventBatch): void {
    for (const { reason } of batch.skipped) this.skip(reason);
    if (batch.failed !== null) this.skip(batch.failed.reason);
    const lost = batch.skipped.filter(({ reason }) => reason !== "unknown-type").length;
    const cut = batch.failed !== null && batch.failed.reason !== "trailing-bytes";
    if (lost > 0 || cut) publisher.markIncomplete();
    const first = batch.skipped[0];
    if (first === undefined && batch.failed === null) return;
    this.#options.diagnostics.raise({
      code: "events-skipped",
      severity: lost > 0 || cut ? "warning" : "info",
      message:
        first === undefined
          ? `${publisher.pod}: an event batch could not be read to its end (${batch.failed!.reason} at byte ${batch.failed!.offset}).`
          : `${publisher.pod}: ${batch.skipped.length} events of a batch were skipped; the first: ${first.reason} (${first.detail}).`,
      fix: "Compare the engine's version with docs/wire-format.md; report a newer event format with a recording.",
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      evidence: { reason: first?.reason ?? batch.failed!.reason, detail: first?.detail ?? null },
    });
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
    const tooLarge = reason === "frame-too-large";
    this.#options.diagnostics.raise({
      code: "frame-rejected",
      severity: "error",
      message: tooLarge
        ? `A frame of ${frame.payload.length} bytes was skipped; at most ${this.#options.maxFrameBytes} are read.`
        : `A frame of a new pod was skipped: ${MAX_PUBLISHERS} publishers are known already.`,
      fix: tooLarge ? "Raise maxFrameBytes." : "Remove pods that are gone with removePod.",
      evidence: { source: frame.source ?? null, bytes: frame.payload.length },
    });
    return undefined;
  }

  #rejectTopic(frame: KvFrame): undefined {
    this.skip("topic-unusable");
    this.#options.diagnostics.raise({
      code: "topic-unusable",
      severity: "error",
      message: `Frames with topic ${JSON.stringify(frame.topic.slice(0, 100))} name no pod and model, so they are not applied.`,
      fix: 'Give pod and model to subscribe(), or set the engine\'s "topic" in --kv-events-config to kv@<pod>@<model>.',
      evidence: { topic: frame.topic.slice(0, 100), source: frame.source ?? null },
    });
    return undefined;
  }

  #reportJoinedLate(publisher: Publisher, seq: bigint): void {
    this.#options.diagnostics.raise({
      code: "joined-late",
      severity: "info",
      message: `${publisher.pod}: the first frame seen is number ${seq}; blocks announced before are not known.`,
      fix: "Start the router before the engines. In exact mode what matters comes back by itself as prompts are stored.",
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      evidence: { firstSeq: seq.toString() },
    });
  }

  #reportAmbiguous(publisher: Publisher): void {
    this.#options.diagnostics.raise({
      code: "extra-keys-missing",
      severity: "warning",
      message: `${publisher.pod}: blocks of equal tokens have different hashes; this engine's events do not say their salt, image or adapter, so neither is credited.`,
      fix: "Upgrade vLLM to a version whose events carry extra_keys (PR 33304, 2026), or configure the exact hash algorithm and seed.",
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      evidence: { ambiguousBlocks: publisher.ambiguous.size },
    });
  }

  #reportParked(publisher: Publisher): void {
    this.#options.diagnostics.raise({
      code: "orphans-parked",
      severity: "warning",
      message: `${publisher.pod}: ${publisher.parked.size} stores wait for a parent that was never announced; they score nothing until it is.`,
      fix: "Start the router before the engines, or give the engine a known PYTHONHASHSEED so that its hashes can be reproduced.",
      model: publisher.model,
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      evidence: { parkedStores: publisher.parked.size, droppedStores: publisher.parked.dropped },
    });
  }
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
