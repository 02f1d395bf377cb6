/**
 * One model engine of a run: requests in, frames out, and what it would reuse.
 *
 * The block manager of the example engine is the engine's own tier. A second attention group is another one beside it; a
 * CPU tier keeps copies of what the engine announces. Both speak through events in the same frames, as connectors' do.
 * @module
 */
import type { KvFrame } from "kvblock";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import { hashKey } from "../../examples/engine/block-pool.js";
import type { BlockRemoved, BlockStored, CacheEvent } from "../../examples/engine/cache-events.js";
import { WIRE_ERAS } from "../../examples/engine/wire.js";
import { EngineLink, type LinkOptions } from "../indexer/engine-link.js";
import { hasMedium } from "./generate.js";
import { ENGINE_LINE, Ledger, type Line } from "./ledger.js";
import type { EngineSpec, Scenario } from "./scenario.js";

export const MODEL = "base";
export const LORAS = {
  "sql-lora": { id: 1, path: "/adapters/sql" },
  "chat-lora": { id: 2, path: "/adapters/chat" },
};
/** Blocks that must be held before a hit's end, by a group with a sliding window. */
const WINDOW_BLOCKS = 2;
const OFFLOAD_LINE: Line = "CPU 0";
const GROUP_LINE: Line = "GPU 1";

/** A frame, and what only its sender knows. */
export interface Sent {
  readonly frame: KvFrame;
  readonly life: number;
  readonly seq: number;
  readonly ts: number;
  readonly events: number;
}

/** What an engine would reuse of a prompt, in blocks. */
export interface Truth {
  readonly reusable: number;
  /** The same, were there no windows. */
  readonly attended: number;
  /** The same, had nothing happened that was in lost frames only. */
  readonly believable: number;
  /** What the engine's own tier and first group say. */
  readonly peeked: number;
}

export class Engine {
  readonly spec: EngineSpec;
  readonly ledger = new Ledger();
  readonly #link: EngineLink;
  /** Its cache is the second group. */
  readonly #group: EngineLink | undefined;
  /** Blocks of the CPU tier, oldest first. */
  readonly #offloaded = new Map<string, Uint8Array>();
  readonly #keys = new WeakMap<CacheRequest, string[]>();
  readonly #drafting: boolean;
  #events: CacheEvent[] = [];

  private constructor(spec: EngineSpec, link: EngineLink, group: EngineLink | undefined, drafting: boolean) {
    this.spec = spec;
    this.#link = link;
    this.#group = group;
    this.#drafting = drafting;
  }

  static async start(spec: EngineSpec, scenario: Scenario): Promise<Engine> {
    const { pod, rank, blockSize, numBlocks, era, intHashes } = spec;
    const options: LinkOptions = {
      ...{ pod, rank, blockSize, numBlocks, era, intHashes, model: MODEL },
      algorithm: scenario.algorithm,
      hashBlockSize: scenario.hashBlockSize ?? undefined,
      ...(scenario.hashSeed === null ? { noneHash: noneHashOf(scenario) } : { seed: scenario.hashSeed }),
      loras: Object.fromEntries(Object.entries(LORAS).map(([name, { id }]) => [name, id])),
      loraPaths: spec.tagged
        ? Object.fromEntries(Object.entries(LORAS).map(([name, { path }]) => [name, path]))
        : undefined,
    };
    const group =
      spec.group === null
        ? undefined
        : await EngineLink.start({ ...options, numBlocks: spec.group.numBlocks });
    return new Engine(spec, await EngineLink.start(options), group, scenario.drafting);
  }

  get #caches() {
    return this.#group === undefined ? [this.#link.cache] : [this.#link.cache, this.#group.cache];
  }

  /** Returns whether it runs. */
  startRequest(id: string, request: CacheRequest, part?: number): boolean {
    const [own, group] = this.#caches;
    const scheduled = { ...this.#link.request(request), id };
    const runs = own!.schedule(scheduled, part) !== null;
    if (!runs) own!.finish(id);
    else if (group?.schedule(scheduled, part) === null) group.finish(id);
    this.#note();
    return runs;
  }

  append(id: string, tokens: readonly number[]): void {
    const [own, group] = this.#caches;
    own!.append(id, tokens);
    try {
      group?.append(id, tokens);
    } catch {
      // The second group had no room for the request.
    }
    this.#note();
  }

  finish(id: string): void {
    for (const cache of this.#caches) cache.finish(id);
    this.#note();
  }

  /** Reset the prefix cache; refused while a request runs. */
  clear(): void {
    for (const cache of this.#caches) cache.reset();
    this.#note();
  }

  restart(clockSeconds: number): void {
    this.#offloaded.clear();
    this.#events = [];
    this.#link.restart(clockSeconds);
    this.#group?.restart();
    this.ledger.restart();
  }

  /** Batches of this life so far. */
  get seq(): number {
    return Number(this.#link.seq);
  }

  /** Events wait for the next frame. */
  get isDirty(): boolean {
    return this.#events.length > 0;
  }

  /** The frame of what happened since the last one. @param breakFirst - its first event shall be unreadable */
  send(breakFirst: boolean): Sent | undefined {
    const events = this.#events;
    this.#events = [];
    const [first] = events;
    if (first === undefined) return undefined;
    const broken = breakFirst && first.type !== "AllBlocksCleared" && hasMedium(this.spec.era);
    const { seq } = this;
    this.ledger.publish(seq, events, (event) => !broken || event !== first);
    const frame = this.#link.frameOf(broken ? [unreadable(first), ...events.slice(1)] : events);
    return { frame, life: this.ledger.life, seq, ts: this.#link.ts, events: events.length };
  }

  /** A group that must hold a block too, and that the frames which were heard say nothing of. */
  get hasUnheardGroup(): boolean {
    return this.spec.group?.kind === "full_attention" && !this.ledger.wasHeardOf(GROUP_LINE);
  }

  truth(request: CacheRequest): Truth {
    let keys = this.#keys.get(request);
    if (keys === undefined) this.#keys.set(request, (keys = this.#link.keysOf(request)));
    const { ledger, spec } = this;
    const holds = (line: Line, key: string): boolean => ledger.holds(line, key);
    const believes = (line: Line, key: string): boolean => holds(line, key) || ledger.isGhost(line, key);
    const full = spec.group?.kind === "full_attention" ? [ENGINE_LINE, GROUP_LINE] : [ENGINE_LINE];
    const run = (has: (line: Line, key: string) => boolean, lines = full): number => {
      const end = keys.findIndex((key) => !lines.every((line) => has(line, key)) && !has(OFFLOAD_LINE, key));
      return end < 0 ? keys.length : end;
    };
    const attended = run(holds);
    let reusable = attended;
    if (spec.group?.kind === "sliding_window") {
      const inWindow = (end: number): boolean =>
        keys.slice(Math.max(0, end - WINDOW_BLOCKS), end).every((key) => holds(GROUP_LINE, key));
      while (reusable > 0 && !inWindow(reusable)) reusable--;
    }
    const drop = this.#drafting ? 1 : 0;
    const cap = (blocks: number): number => Math.max(0, blocks - drop);
    return {
      reusable: cap(reusable),
      attended: cap(attended),
      believable: cap(run(believes, this.hasUnheardGroup ? [ENGINE_LINE] : full)),
      peeked: cap(this.#link.peek(request)),
    };
  }

  /** How many of the prompt's leading blocks the engine does not hold. */
  missing(request: CacheRequest, blocks: number): number {
    return this.#lacking(request, blocks, (line, key) => this.ledger.holds(line, key));
  }

  /** How many of them it never held. */
  neverHeld(request: CacheRequest, blocks: number): number {
    return this.#lacking(request, blocks, (line, key) => this.ledger.everHeld(line, key));
  }

  #lacking(request: CacheRequest, blocks: number, has: (line: Line, key: string) => boolean): number {
    const full = this.spec.group?.kind === "full_attention" ? [ENGINE_LINE, GROUP_LINE] : [ENGINE_LINE];
    return this.#keys
      .get(request)!
      .slice(0, blocks)
      .filter((key) => !full.every((line) => has(line, key)) && !has(OFFLOAD_LINE, key)).length;
  }

  *#withOffload(event: CacheEvent): Generator<CacheEvent> {
    const { offload, era } = this.spec;
    if (offload === null || event.type === "AllBlocksCleared") yield event;
    else if (event.type === "BlockStored") {
      yield event;
      if (offload.when !== "stored") return;
      for (const [at, digest] of event.blockHashes.entries())
        yield* this.#offload(
          digest,
          WIRE_ERAS.indexOf(era) >= WIRE_ERAS.indexOf("M2") ? blockOf(event, at) : undefined,
        );
    } else {
      // The copy is made before the block is given to someone else.
      if (offload.when === "evicted") for (const digest of event.blockHashes) yield* this.#offload(digest);
      yield event;
    }
  }

  /** Keep one copy in the CPU tier. Older offloading connectors announce it without tokens, newer ones in full. */
  *#offload(digest: Uint8Array, described?: BlockStored): Generator<CacheEvent> {
    const key = hashKey(digest);
    if (this.#offloaded.has(key)) return;
    this.#offloaded.set(key, digest);
    yield described ?? {
      type: "BlockStored",
      blockHashes: [digest],
      parentBlockHash: null,
      tokenIds: [],
      blockSize: 0,
      medium: "CPU",
    };
    if (this.#offloaded.size <= this.spec.offload!.blocks) return;
    const [oldest, of] = this.#offloaded.entries().next().value!;
    this.#offloaded.delete(oldest);
    yield { type: "BlockRemoved", blockHashes: [of], medium: "CPU" };
  }

  /** Take what the caches say, in the order of happening. */
  #note(): void {
    for (const event of this.#link.cache.takeEvents()) this.#events.push(...this.#withOffload(event));
    for (const event of this.#group?.cache.takeEvents() ?? []) this.#noteGroup(event);
  }

  #noteGroup(event: CacheEvent): void {
    const { group, blockSize } = this.spec;
    // One clearing stands for all groups.
    if (event.type === "AllBlocksCleared") return;
    if (event.type === "BlockRemoved" || group!.kind === "full_attention")
      this.#events.push({ ...event, groupIdx: 1 });
    else {
      const slidingWindow = (WINDOW_BLOCKS - 1) * blockSize + 2;
      this.#events.push({ ...event, groupIdx: 1, kvCacheSpecKind: "sliding_window", slidingWindow });
    }
  }
}

/** One block of a stored run, as the CPU tier's. */
function blockOf(event: BlockStored, at: number): BlockStored {
  const { blockHashes, blockSize, tokenIds, extraKeys } = event;
  return {
    ...event,
    blockHashes: [blockHashes[at]!],
    parentBlockHash: at === 0 ? event.parentBlockHash : blockHashes[at - 1]!,
    tokenIds: tokenIds.slice(at * blockSize, (at + 1) * blockSize),
    extraKeys: extraKeys?.slice(at, at + 1),
    medium: "CPU",
  };
}

/** The same event, its medium no text. */
function unreadable(event: BlockStored | BlockRemoved): CacheEvent {
  return { ...event, medium: 7 as never };
}

/** Random bytes of an engine without a seed, the same for the same scenario. */
export function noneHashOf({ seed }: Scenario): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => (Math.imul(seed + 1, 0x9e3779b1) >>> (i % 24)) & 0xff);
}
