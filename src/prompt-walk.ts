/**
 * Hashes a prompt and looks it up: tokens → block keys → matches.
 *
 * A prompt is hashed once per key class of its candidates, a stretch of blocks at a time (prompt-chain.ts), each looked up
 * before the next is hashed: a prompt that nobody holds costs one short stretch, however long it is. Only where a later block would
 * imply the earlier ones (a candidate of exact keys and incomplete history) is it walked on.
 * @module
 */
import { type BlockIndex, OTHER_TIER_WEIGHT, type Tiers } from "./block-index/index.js";
import type { HashedPrompt, HashPlan } from "./hash-plan.js";
import type { KeyClass } from "./key-classes.js";
import type { KnownPrefixes } from "./known-prefixes.js";
import { LookupMemory } from "./lookup-memory.js";
import type { Models } from "./models.js";
import { PromptChain } from "./prompt-chain.js";
import type { Query } from "./query.js";
import { canTell, erasOf, type KeyedRequest, queryKeys } from "./query-keys.js";
import { type Candidate, type Match, type Matches, PrefixScorer } from "./score/index.js";
import type { Turns } from "./turns.js";
import type { ExtraKeysEra } from "./types.js";

/** Blocks in a row that are held and not known, before what is left of them is hashed elsewhere: it may be held as well. */
const HASHED_HERE = 256;
/** Tokens that are sooner hashed elsewhere: below, the way to a thread and back costs as much. */
const HASHED_ELSEWHERE = 16_384;
/** Between two looks at the clock: blocks × candidates, which take 0.1 µs each at worst, and the blocks at least and most. */
const AT_A_TIME = 4096;
const FEWEST = 8;
const MOST = 64;

export interface PromptWalkOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly models: Models;
  readonly tierWeights: Readonly<Record<string, number>>;
  /** Undefined: every prompt is hashed from its beginning. */
  readonly known?: KnownPrefixes | undefined;
}

/** What keys of a prompt come from beside its tokens. */
export type ModelRequest = KeyedRequest & { readonly model: string };

/** Gives the digests of a prompt's end: tokens of whole blocks, and the digest before them. */
export type HashRest = (
  keyClass: KeyClass,
  era: ExtraKeysEra,
  tokens: Uint32Array,
  parent: Uint8Array,
) => Promise<Uint8Array>;

/** A match, and the form of extra keys that it was found under. */
export interface Found {
  readonly match: Match;
  readonly era: ExtraKeysEra;
}

/** What the candidates of a query matched, by their number there; those whose keys cannot be told matched nothing. */
export class PromptMatches {
  readonly #parts: { readonly matches: Matches; readonly era: ExtraKeysEra }[] = [];
  /** Of each candidate: its part's number, plus 1, and its position in it. */
  readonly #part: Uint16Array;
  readonly #at: Uint32Array;

  constructor(candidates: number) {
    this.#part = new Uint16Array(candidates);
    this.#at = new Uint32Array(candidates);
  }

  /** Add what some candidates matched; of two matches the longer one counts, of equal ones the later. */
  add(matches: Matches, era: ExtraKeysEra, candidates: readonly number[]): void {
    const part = this.#parts.push({ matches, era });
    for (let at = 0; at < candidates.length; at++) {
      const candidate = candidates[at]!;
      if (part > 1 && matches.blocks(at) < this.blocks(candidate)) continue;
      this.#part[candidate] = part;
      this.#at[candidate] = at;
    }
  }

  of(candidate: number): Found | undefined {
    const part = this.#parts[this.#part[candidate]! - 1];
    return part === undefined ? undefined : { match: part.matches.at(this.#at[candidate]!), era: part.era };
  }

  blocks(candidate: number): number {
    return this.#parts[this.#part[candidate]! - 1]?.matches.blocks(this.#at[candidate]!) ?? 0;
  }

  score(candidate: number, weights: readonly number[]): number {
    return this.#parts[this.#part[candidate]! - 1]?.matches.score(this.#at[candidate]!, weights) ?? 0;
  }

  /** See {@link Matches.dropLast}. */
  dropLast(candidate: number): void {
    this.#parts[this.#part[candidate]! - 1]?.matches.dropLast(this.#at[candidate]!);
  }
}

export class PromptWalk {
  readonly #options: PromptWalkOptions;
  readonly #scorer: PrefixScorer;
  readonly #memory: LookupMemory = new LookupMemory();
  /** What the scorer was told of the last lookup's candidates: written anew for the next one's. */
  readonly #kept: { owner: number; groups: number; implyAncestors: boolean }[] = [];

  constructor(options: PromptWalkOptions) {
    this.#options = options;
    this.#scorer = new PrefixScorer(options.index.slots);
  }

  /**
   * What each candidate matched, class by class. Those whose keys cannot be told are left out.
   * @param warm - whether what is met counts as asked for
   * @param hashed - keys of the prompt, where they were made elsewhere; what they lack is hashed here
   */
  match(tokens: Uint32Array, query: Query, warm: boolean, hashed: HashedPrompt["lists"] = []): PromptMatches {
    const found = new PromptMatches(query.candidates.length);
    for (const [keyClass, peers] of byKeyClass(query)) {
      for (const era of erasOf(keyClass, query)) {
        const ready = hashed.find((list) => list.name === keyClass.name && list.era === era);
        found.add(this.#walk(tokens, query, keyClass, era, peers, warm, ready?.keys), era, peers);
      }
    }
    return found;
  }

  /**
   * {@link match} in slices of the event loop's turns: the blocks of a long prompt that many pods hold take tens of
   * milliseconds. What changes meanwhile counts from where the walk has come to, as if it had been asked a little later.
   * @param hashRest - gives the digests of what is long, held and not known
   * @returns undefined if what the candidates' blocks are keyed or counted by changed meanwhile: to be asked again
   */
  async matchInTurns(
    tokens: Uint32Array,
    query: Query,
    turns: Turns,
    hashRest: HashRest | undefined,
  ): Promise<PromptMatches | undefined> {
    const { index, tiers, tierWeights, known } = this.#options;
    // Others are looked up in between.
    const scorer = new PrefixScorer(index.slots);
    const weights = weightsOf(tiers, tierWeights);
    const classes = query.candidates.map(({ keyClass }) => keyClass);
    const isSame = (): boolean =>
      tiers.names.length === weights.length &&
      query.candidates.every(({ keyClass, removed }, i) => keyClass === classes[i] && !removed);
    const found = new PromptMatches(query.candidates.length);
    for (const [keyClass, peers] of byKeyClass(query)) {
      for (const era of erasOf(keyClass, query)) {
        const extraKeys = this.#extraKeys(tokens, query, keyClass, era);
        if (extraKeys === "unknown") continue;
        const matches = scorer.begin(this.#candidatesOf(query, peers), weights);
        const blocks = usableBlocks(tokens.length, keyClass.chain.blockSize);
        const chain = new PromptChain({ tokens, blocks, keyClass, extraKeys, known });
        const step = Math.min(MOST, Math.max(FEWEST, Math.floor(AT_A_TIME / peers.length)));
        let goesOn = false;
        let runs = true;
        while (runs && !chain.isDone) {
          const rest = hashRest && chain.remainder(HASHED_HERE);
          if (rest !== undefined && rest.tokens.length >= HASHED_ELSEWHERE) {
            chain.supply(await hashRest!(keyClass, era, rest.tokens, rest.parent));
            goesOn = false;
          }
          let block = chain.at;
          const keys = chain.next();
          for (let at = 0; runs && at < keys.length; at += 2 * step, block += step) {
            if (!turns.hasTime) {
              await turns.next();
              goesOn = false;
            }
            if (!goesOn && !isSame()) return undefined;
            runs = index.lookup(keys.subarray(at, at + 2 * step), scorer, block, true, goesOn);
            goesOn = true;
          }
        }
        if (chain.isNew) chain.remember(longest(matches));
        found.add(matches, era, peers);
      }
    }
    return found;
  }

  /** What {@link match} would hash of a prompt that is held whole. */
  lists(query: Query): HashPlan["lists"] {
    return Array.from(byKeyClass(query).keys(), (keyClass) =>
      erasOf(keyClass, query).map((era) => ({ name: keyClass.name, recipe: keyClass.recipe, era })),
    ).flat();
  }

  /** Keys of a prompt's first blocks, as pairs `[hi, lo]`; undefined where they cannot be told. */
  keys(
    tokens: Uint32Array,
    query: ModelRequest,
    keyClass: KeyClass,
    era: ExtraKeysEra,
    blocks: number,
  ): Uint32Array | undefined {
    const extraKeys = this.#extraKeys(tokens, query, keyClass, era);
    if (extraKeys === "unknown") return undefined;
    const { known } = this.#options;
    return new PromptChain({ tokens, blocks, keyClass, extraKeys, known }).rest();
  }

  /** Hash and look up the prompt's usable blocks, until no candidate's run goes on. */
  #walk(
    tokens: Uint32Array,
    query: Query,
    keyClass: KeyClass,
    era: ExtraKeysEra,
    peers: readonly number[],
    warm: boolean,
    ready: Uint32Array | undefined,
  ): Matches {
    const { index, tiers, tierWeights, known } = this.#options;
    const candidates = this.#candidatesOf(query, peers);
    const matches = this.#scorer.begin(candidates, weightsOf(tiers, tierWeights));
    if (ready !== undefined) {
      index.lookup(ready, this.#scorer, 0, warm);
      return matches;
    }
    const blocks = usableBlocks(tokens.length, keyClass.chain.blockSize);
    const extraKeys = this.#extraKeys(tokens, query, keyClass, era);
    if (extraKeys === "unknown") return matches;
    this.#memory.begin();
    const chain = new PromptChain({ tokens, blocks, keyClass, extraKeys, known, memory: this.#memory });
    while (!chain.isDone) {
      const from = chain.at;
      if (!index.lookup(chain.next(), this.#scorer, from, warm, from > 0)) break;
    }
    if (warm && chain.isNew) chain.remember(longest(matches));
    return matches;
  }

  #candidatesOf(query: Query, peers: readonly number[]): readonly Candidate[] {
    while (this.#kept.length < peers.length) this.#kept.push({ owner: 0, groups: 0, implyAncestors: false });
    return peers.map((peer, i) => {
      const { owner, decidingGroups, implyAncestors } = query.candidates[peer]!;
      const candidate = this.#kept[i]!;
      candidate.owner = owner;
      candidate.groups = decidingGroups;
      candidate.implyAncestors = implyAncestors;
      return candidate;
    });
  }

  #extraKeys(
    tokens: Uint32Array,
    query: ModelRequest,
    keyClass: KeyClass,
    era: ExtraKeysEra,
  ): ReturnType<typeof queryKeys> {
    const { loras } = this.#options.models.settings(query.model);
    return queryKeys(query, tokens.length, keyClass, era, loras);
  }
}

/** Blocks that any candidate matched. */
function longest(matches: Matches): number {
  let blocks = 0;
  for (let at = 0; at < matches.length; at++) blocks = Math.max(blocks, matches.blocks(at));
  return blocks;
}

/** The numbers of the candidates whose keys can be told, by class. */
function byKeyClass(query: Query): Map<KeyClass, number[]> {
  const { candidates } = query;
  const byClass = new Map<KeyClass, number[]>();
  let last: KeyClass | undefined;
  let peers: number[] = [];
  for (let i = 0; i < candidates.length; i++) {
    const { keyClass } = candidates[i]!;
    if (keyClass === undefined) continue;
    if (keyClass !== last) {
      if (!canTell(keyClass, query)) continue;
      last = keyClass;
      peers = byClass.get(keyClass) ?? [];
      byClass.set(keyClass, peers);
    }
    peers.push(i);
  }
  return byClass;
}

/** The engine always computes the last token itself, so the block that it would complete cannot be reused. */
export function usableBlocks(promptTokens: number, blockSize: number): number {
  return Math.max(0, Math.floor((promptTokens - 1) / blockSize));
}

/** Tier names come from the wire: `constructor` is no weight. */
export function weightOf(weights: Readonly<Record<string, number>>, tier: string): number {
  return Object.hasOwn(weights, tier) ? weights[tier]! : OTHER_TIER_WEIGHT;
}

/** What a block is worth, by tier number. */
export function weightsOf({ names }: Tiers, weights: Readonly<Record<string, number>>): readonly number[] {
  return names.map((name) => weightOf(weights, name));
}
