/**
 * One publisher: the event stream of a pod's data-parallel rank serving a model, and everything known about it.
 * @module
 */
import { Announced } from "./announced.js";
import { type BlockIndex, ENGINE_TIER, type HolderLine, type Tiers } from "./block-index/index.js";
import { EngineTraits } from "./engine-traits.js";
import type { BlockStored, EventBatch } from "./events/index.js";
import type { ModelSettings } from "./models.js";
import {
  AmbiguousKeys,
  HandleMap,
  HeldFrames,
  ParentClaims,
  ParkedStores,
  SeenTails,
  SequenceTracker,
} from "./publisher/index.js";
import { statusOf } from "./publisher-status.js";
import { Residency } from "./residency.js";
import { type FrameMark, StreamHistory } from "./stream-history.js";
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
  /** Frames were lost, and something that was held before may still be there only because its removal was lost. */
  gapped = false;
  /** Blocks were void without word of their removal: those that were used ever since are still there. */
  hasTurnedOver = false;
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
  /** What recent prompts told of parents that were never announced (see orphans.ts). */
  readonly claims: ParentClaims;
  /** What its stores ended with: which text stands behind several prefixes. */
  readonly tails: SeenTails;
  /** Through which its blocks go into the index and out of it. */
  residency: Residency;

  frames = 0;
  gaps = 0;
  lostFrames = 0n;
  duplicateFrames = 0;
  lateFrames = 0;
  restarts = 0;
  /** Restarts in a row, each within {@link LIFE_MS} of the one before; when the last was. */
  quickRestarts = 0;
  restartedAt: number = Number.NEGATIVE_INFINITY;
  readonly history: StreamHistory = new StreamHistory();

  readonly #index: BlockIndex;
  readonly #tiers: Tiers;
  /** By tier and group. */
  readonly #lines = new Map<number, HolderLine>();
  #lastLine: HolderLine | undefined = undefined; // that was asked for: mostly the next one too

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
    this.residency = this.#newResidency();
    const memory = {
      reserve: (bytes: number) => index.reserve(bytes),
      isHeld: (hi: number, lo: number) => this.holdsAnywhere(hi, lo),
    };
    this.announced = new Announced(memory.reserve);
    this.held = new HeldFrames(memory.reserve);
    this.ambiguous = new AmbiguousKeys(memory.reserve);
    this.handles = new HandleMap(memory);
    this.parked = new ParkedStores(memory.reserve, index.memoryLimitBytes);
    this.claims = new ParentClaims(memory.reserve);
    this.tails = new SeenTails(memory.reserve);
    this.reached = new HandleMap({ ...memory, isHeld: (_hi, _lo, hi, lo) => this.holdsAnywhere(hi, lo) });
  }

  get state(): PublisherState {
    if (this.unreachable) return "stale";
    if (this.frames === 0) return "unknown";
    if (this.mode === "undecided" || this.held.size > 0 || this.repairing) return "catching-up";
    return this.gapped ? "partial" : "live";
  }

  /** Blocks never heard of may be passed over: history is incomplete, and keys name whole prefixes. */
  get implyAncestors(): boolean {
    // Own keys are given only where all above is known: there is nothing to pass over but what a turnover voided, and
    // what lies above adopted orphans.
    return this.impliesParents && (this.mode === "exact" || this.hasTurnedOver || this.claims.believed > 0);
  }

  /** What is passed over now or after a turnover is kept account of: stores prove parents, and removals leave marks. */
  get impliesParents(): boolean {
    if (this.complete || this.mode === "undecided") return false;
    // A wire without extra keys leaves open which block an own key is of.
    const unheard = this.gapped || this.hasTurnedOver || this.claims.believed > 0;
    return this.mode === "exact" || (unheard && this.tellsExtraKeys);
  }

  /** Attention groups, as bits, that all must hold a block. */
  get decidingGroups(): number {
    return (this.groups || this.offloadGroups || 1) >>> 0;
  }

  /** All its lines. */
  get lines(): Iterable<HolderLine> {
    return this.#lines.values();
  }

  get lineCount(): number {
    return this.#lines.size;
  }

  /** The line of a tier and group, made when first needed; undefined past the bound of lines or of memory. */
  line(tier: number, group: number): HolderLine | undefined {
    let line = this.knownLine(tier, group);
    if (line !== undefined) return line;
    if (this.#lines.size < MAX_LINES && this.#index.slots.canOpenLine && this.#index.reserve(LINE_BYTES)) {
      line = this.#index.openLine(this.owner, tier, group);
      this.residency.adopt(line);
      line.leaveMarks = this.impliesParents;
      this.#lines.set(tier * 32 + group, line);
    }
    return line;
  }

  /** The line, if it was made. */
  knownLine(tier: number, group: number): HolderLine | undefined {
    if (this.#lastLine?.tier === tier && this.#lastLine.group === group) return this.#lastLine;
    return (this.#lastLine = this.#lines.get(tier * 32 + group));
  }

  holdsAnywhere(hi: number, lo: number): boolean {
    for (const line of this.#lines.values()) if (this.#index.holds(line, hi, lo)) return true;
    return false;
  }

  /** Hold a block no more, however many copies there are. */
  forget(hi: number, lo: number): void {
    for (const line of this.#lines.values()) this.#index.forget(line, hi, lo);
  }

  /** A handle was taken for a block that it is not of: what was placed under it counts for nothing. */
  disown(handle: readonly [hi: number, lo: number], own: readonly [hi: number, lo: number]): void {
    this.handles.delete(...handle);
    this.forget(...own);
    // A mark ends all runs there, though blocks behind it are held.
    for (const line of this.#lines.values())
      if (this.#tiers.names[line.tier] === ENGINE_TIER) this.#index.evict(line, Uint32Array.of(...own));
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
    for (const line of this.#lines.values()) line.leaveMarks = this.impliesParents;
  }

  /** Frames were lost: entries may be gone without our knowing. */
  markGap(): void {
    this.gapped = true;
    this.markIncomplete();
    this.residency.lost();
    // Nobody knows whether they are still there when their parent comes.
    this.parked.clear();
    for (const line of this.#lines.values()) this.#index.makeSuspect(line);
  }

  /** The engine's own tier was cleared: void it. With no other tier in use, all that is there is known again. */
  clearEngineTier(): void {
    let others = 0;
    for (const line of this.#lines.values()) {
      if (this.#tiers.names[line.tier] === ENGINE_TIER) this.#index.clear(line);
      // After a loss a slower tier may hold what was never heard of.
      else others += this.complete ? this.#index.slots.residents(line) : 1;
    }
    this.residency.cleared();
    this.ambiguous.clear();
    this.reached.clear();
    this.parked.clear();
    this.claims.clear();
    this.tails.clear();
    if (others > 0) return;
    this.handles.clear();
    this.complete = true;
    this.gapped = this.hasTurnedOver = false;
    for (const line of this.#lines.values()) {
      line.leaveMarks = false;
      this.#index.slots.closeMarks(line);
    }
  }

  /** Void everything, at once: the engine process that held it is gone. */
  voidAll(): void {
    for (const line of this.#lines.values()) this.#index.closeLine(line);
    this.#index.reserve(-LINE_BYTES * this.#lines.size);
    this.#lines.clear();
    this.#lastLine = undefined;
    this.residency = this.#newResidency();
    this.handles.clear();
    this.reached.clear();
    this.ambiguous.clear();
    this.parked.clear();
    this.claims.clear();
    this.tails.clear();
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
  restart(by: FrameMark): void {
    const lines = Array.from(this.#lines.values(), ({ id }) => id);
    this.voidAll();
    this.generation++;
    this.restarts++;
    const at = this.lastFrameAt ?? 0;
    this.quickRestarts = at - this.restartedAt < LIFE_MS ? this.quickRestarts + 1 : 1;
    this.history.restarted(by, this.quickRestarts > 1, lines);
    this.restartedAt = at;
    this.complete = true;
    this.gapped = this.hasTurnedOver = false;
    this.forgetTraits();
  }

  #newResidency(): Residency {
    return new Residency(this.#index, this.#tiers, this.settings.duplicates === "count", () => this.lines);
  }

  status(now: number): PodStatus {
    // Tier names come from the wire: a Map has no names of its own.
    const blocks = new Map<string, number>();
    for (const line of this.#lines.values()) {
      const tier = this.#tiers.names[line.tier]!;
      blocks.set(tier, (blocks.get(tier) ?? 0) + this.#index.slots.residents(line));
    }
    return statusOf(this, blocks, now);
  }
}
