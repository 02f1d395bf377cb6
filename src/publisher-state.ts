/**
 * One publisher: the event stream of a pod's data-parallel rank serving a model, and everything known about it.
 * @module
 */
import { Announced } from "./announced.js";
import { type BlockIndex, ENGINE_TIER, type HolderLine, type Tiers } from "./block-index/index.js";
import { EngineTraits } from "./engine-traits.js";
import type { BlockStored, EventBatch } from "./events/index.js";
import type { ModelSettings } from "./models.js";
import { AmbiguousKeys, HandleMap, HeldFrames, ParkedStores, SequenceTracker } from "./publisher/index.js";
import type { PodStatus, PublisherState } from "./types.js";

/** What one takes beside its blocks, about; and each of its lines. */
export const PUBLISHER_BYTES = 8192;
const LINE_BYTES = 512;

/** Tiers × groups of one publisher. Both come from the wire; models have a handful of groups, engines of tiers. */
const MAX_LINES = 64;

/** An engine lives longer than this: loading its model alone takes about as long. */
export const LIFE_MS = 60_000;

export class Publisher extends EngineTraits {
  readonly pod: string;
  readonly model: string;
  readonly dataParallelRank: number;
  /** Its number as the block index's owner, >= 1. */
  readonly owner: number;

  sequence: SequenceTracker = new SequenceTracker();
  generation = 0;
  /** Every event of this generation was seen and kept. */
  complete = true;
  /** Frames were lost and nothing has made up for it. */
  gapped = false;
  /** The transport says that the engine cannot be heard. */
  unreachable = false;
  /** Its engine is being asked for what was lost; live frames wait meanwhile. */
  repairing = false;
  lastFrameAt: number | null = null;
  /** Forgotten by `removePod`. */
  removed = false;

  /** Undecided: what prompts are held against. */
  readonly announced: Announced;
  /** Frames that wait until the mode is settled, and then for their turn. */
  readonly held: HeldFrames<EventBatch>;

  /** Full-attention-like groups seen, as bits: all must hold a block. */
  groups = 0;
  /** Such groups seen in slower tiers alone decide where the engine's own tier names none. */
  offloadGroups = 0;
  /** Other groups (sliding window, state), as bits: they make a match an upper bound. */
  otherGroups = 0;
  readonly handles: HandleMap;
  /** `tokens` mode on wires without extra keys: own key → the handle that it was reached by. */
  readonly reached: HandleMap;
  /** Own keys reached by two handles: nobody can say which of them a prompt would hit. */
  readonly ambiguous: AmbiguousKeys;
  readonly parked: ParkedStores<BlockStored>;

  frames = 0;
  gaps = 0;
  lostFrames = 0n;
  duplicateFrames = 0;
  lateFrames = 0;
  restarts = 0;
  /** Restarts in a row, each within {@link LIFE_MS} of the one before; when the last was. */
  quickRestarts = 0;
  restartedAt: number = Number.NEGATIVE_INFINITY;

  readonly #index: BlockIndex;
  readonly #tiers: Tiers;
  /** By tier and group. */
  readonly #lines = new Map<number, HolderLine>();

  constructor(
    identity: { pod: string; model: string; dataParallelRank: number; owner: number },
    settings: ModelSettings,
    index: BlockIndex,
    tiers: Tiers,
  ) {
    super(settings);
    this.pod = identity.pod;
    this.model = identity.model;
    this.dataParallelRank = identity.dataParallelRank;
    this.owner = identity.owner;
    this.#index = index;
    this.#tiers = tiers;
    const memory = {
      reserve: (bytes: number) => index.reserve(bytes),
      isHeld: (hi: number, lo: number) => this.holdsAnywhere(hi, lo),
    };
    this.announced = new Announced(memory.reserve);
    this.held = new HeldFrames(memory.reserve);
    this.ambiguous = new AmbiguousKeys(memory.reserve);
    this.handles = new HandleMap(memory);
    this.parked = new ParkedStores(memory.reserve);
    this.reached = new HandleMap({ ...memory, isHeld: (_hi, _lo, hi, lo) => this.holdsAnywhere(hi, lo) });
  }

  get state(): PublisherState {
    if (this.unreachable) return "stale";
    if (this.frames === 0) return "unknown";
    if (this.mode === "undecided" || this.held.size > 0 || this.repairing) return "catching-up";
    return this.gapped ? "partial" : "live";
  }

  /** Blocks never heard of may be passed over: history is incomplete, and the engine's own keys name whole prefixes. */
  get implyAncestors(): boolean {
    return this.mode === "exact" && !this.complete;
  }

  /** The line of a tier and group, made when first needed; undefined past the bound of lines or of memory. */
  line(tier: number, group: number): HolderLine | undefined {
    const name = tier * 32 + group;
    let line = this.#lines.get(name);
    const hasRoom = this.#lines.size < MAX_LINES && this.#index.slots.canOpenLine;
    if (line === undefined && hasRoom && this.#index.reserve(LINE_BYTES)) {
      line = this.#index.openLine(this.owner, tier, group);
      line.countCopies = this.settings.duplicates === "count";
      line.leaveMarks = this.implyAncestors;
      this.#lines.set(name, line);
    }
    return line;
  }

  /** The line, unless the publisher never stored anything there. */
  knownLine(tier: number, group: number): HolderLine | undefined {
    return this.#lines.get(tier * 32 + group);
  }

  holdsAnywhere(hi: number, lo: number): boolean {
    for (const line of this.#lines.values()) if (this.#index.holds(line, hi, lo)) return true;
    return false;
  }

  /** Hold a block no more, however many copies there are. */
  forget(hi: number, lo: number): void {
    for (const line of this.#lines.values()) this.#index.forget(line, hi, lo);
  }

  /** Blocks held, all tiers and groups. */
  get residents(): number {
    let sum = 0;
    for (const line of this.#lines.values()) sum += this.#index.slots.residents(line);
    return sum;
  }

  /** Something was lost: what is known is no longer all there is. */
  markIncomplete(): void {
    this.complete = false;
    for (const line of this.#lines.values()) line.leaveMarks = this.implyAncestors;
  }

  /** Frames were lost: entries may be gone without our knowing. */
  markGap(): void {
    this.gapped = true;
    this.markIncomplete();
    for (const line of this.#lines.values()) this.#index.makeSuspect(line);
  }

  /** The engine's own tier was cleared: void it. With no other tier in use, all that is there is known again. */
  clearEngineTier(): void {
    let others = 0;
    for (const line of this.#lines.values()) {
      if (this.#tiers.names[line.tier] === ENGINE_TIER) this.#index.clear(line);
      else others += this.#index.slots.residents(line);
    }
    this.ambiguous.clear();
    this.reached.clear();
    this.parked.clear();
    if (others > 0) return;
    this.handles.clear();
    this.complete = true;
    this.gapped = false;
    for (const line of this.#lines.values()) line.leaveMarks = false;
  }

  /** Void everything, at once: the engine process that held it is gone. */
  voidAll(): void {
    for (const line of this.#lines.values()) this.#index.closeLine(line);
    this.#index.reserve(-LINE_BYTES * this.#lines.size);
    this.#lines.clear();
    this.handles.clear();
    this.reached.clear();
    this.ambiguous.clear();
    this.parked.clear();
    this.held.clear();
    this.announced.clear();
    this.groups = this.offloadGroups = this.otherGroups = 0;
  }

  /** Void everything and give back its own memory: nobody asks for it any more. */
  remove(): void {
    this.voidAll();
    this.removed = true;
    this.#index.reserve(-PUBLISHER_BYTES);
  }

  /** A new engine process: whatever was learned of the old one may be otherwise now. */
  restart(): void {
    this.voidAll();
    this.generation++;
    this.restarts++;
    const at = this.lastFrameAt ?? 0;
    this.quickRestarts = at - this.restartedAt < LIFE_MS ? this.quickRestarts + 1 : 1;
    this.restartedAt = at;
    this.complete = true;
    this.gapped = false;
    this.forgetTraits();
  }

  status(now: number): PodStatus {
    // Tier names come from the wire: a Map has no names of its own.
    const blocks = new Map<string, number>();
    for (const line of this.#lines.values()) {
      const tier = this.#tiers.names[line.tier]!;
      blocks.set(tier, (blocks.get(tier) ?? 0) + this.#index.slots.residents(line));
    }
    return {
      pod: this.pod,
      model: this.model,
      dataParallelRank: this.dataParallelRank,
      state: this.state,
      complete: this.complete && this.frames > 0,
      generation: this.generation,
      mode: this.mode,
      algorithm: this.mode === "exact" ? (this.hashed?.algorithm ?? null) : null,
      blockSize: this.blockSize,
      blocks: Object.fromEntries(blocks),
      lastSeq: this.sequence.last?.toString() ?? null,
      lastEventAgeMs: this.lastFrameAt === null ? null : Math.max(0, now - this.lastFrameAt),
      frames: this.frames,
      gaps: this.gaps,
      lostFrames: Number(this.lostFrames),
      duplicateFrames: this.duplicateFrames,
      lateFrames: this.lateFrames,
      restarts: this.restarts,
      heldFrames: this.held.size,
      parkedStores: this.parked.size,
    };
  }
}
