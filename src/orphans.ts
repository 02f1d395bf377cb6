/**
 * Orphans of `tokens` mode: stores whose parent was announced before the router came, placed by the prompts it scored.
 *
 * A router scores a prompt before an engine computes it. What the engine then stores is the prompt's tail, from the first
 * block that it did not have to the last full one. So a store (or a chain of parked ones) that is exactly the tail of a
 * recent prompt tells what its parent is: the prompt's block before it. Once the parent's handle is known, everything
 * under it can be placed, and what lies above it is there (law 6).
 *
 * What could be taken for it is the same text behind another prefix: equal tokens, and extra keys of the first block
 * (a salt) that later blocks do not show. Where recent prompts or what is known of the publisher speak against it, it
 * stays parked.
 * @module
 */
import { ENGINE_TIER, type Tiers } from "./block-index/index.js";
import type { BlockStored } from "./events/index.js";
import type { ModelRequest, PromptWalk } from "./prompt-walk.js";
import type { Publisher } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import { canTell } from "./query-keys.js";
import { endOf, isSame, type RecentPrompt, type RecentPrompts } from "./recent-prompts.js";
import { extraKeysOf, type Lanes, ownDigest } from "./stored-extra-keys.js";

/** A store with the number of its blocks that count. */
interface Piece {
  readonly store: BlockStored;
  readonly blocks: number;
}

export interface OrphansOptions {
  readonly tiers: Tiers;
  readonly publishers: Publishers;
  readonly walk: PromptWalk;
  readonly recent: RecentPrompts;
  /** Place what waits for a handle, whose own key came out. */
  readonly adopt: (publisher: Publisher, handle: Lanes, own: Lanes) => void;
}

/** Tokens of a prompt's end that tell it, at least: a template's closing words are not enough. */
const MIN_TOKENS = 16;

export class Orphans {
  readonly #options: OrphansOptions;

  constructor(options: OrphansOptions) {
    this.#options = options;
  }

  /** A prompt is scored: remember it where an orphan may turn out to be its tail. */
  scored(request: ModelRequest, tokens: Uint32Array): void {
    const { model } = request;
    const { publishers, recent } = this.#options;
    let blockSizes: Set<number> | undefined;
    for (const publisher of publishers.ofModel(model))
      if (isOpen(publisher)) (blockSizes ??= new Set()).add(publisher.blockSize);
    if (blockSizes === undefined) recent.forgetModel(model);
    else recent.add(request, tokens, blockSizes);
  }

  /** A store was parked. Returns whether it was placed all the same. */
  arrived(publisher: Publisher, store: BlockStored): boolean {
    const { recent, adopt } = this.#options;
    if (!this.#mayTell(publisher, store)) return false;
    const isShared = noteTail(publisher, store);
    const candidates = recent.endingWith(publisher.model, store.tokenIds, store.blockSize);
    if (candidates.length === 0) return false;
    // All that the engine computes is heard, whoever scored it: text that it has behind two prefixes tells neither.
    if (isShared) return false;
    const pieces = publisher.parked.chainTo(store);
    const parent = pieces?.[0]?.store.parentKey;
    if (pieces === undefined || parent === null || parent === undefined) return false;
    // A salt stands in the first block alone: another tenant's store of equal tokens looks the same.
    if (publisher.saltsSeen.size > 0) return false;
    const found: Lanes[] = [];
    for (const prompt of candidates) {
      if (prompt.cacheSalt !== "" || prompt.multimodal.length > 0) return false;
      if (prompt.due === 0 || !recent.isRecent(prompt)) continue;
      const own = this.#parentIn(prompt, publisher, pieces);
      if (own === undefined || found.some(([hi, lo]) => hi === own[0] && lo === own[1])) continue;
      // Were it this one, its handle would be known.
      if (publisher.holdsAnywhere(...own) && !publisher.claims.has(...own)) continue;
      found.push(own);
    }
    // With two it may be either's: they end alike, behind different prefixes.
    const [own] = found;
    if (own === undefined || found.length > 1) return false;
    const verdict = publisher.claims.claim(own, parent);
    if (verdict === "believed") adopt(publisher, parent, own);
    else if (verdict !== "waits") publisher.disown(verdict.contested, own);
    return verdict === "believed";
  }

  /** A store was placed: prompts that it may be the end of are served. */
  served(publisher: Publisher, store: BlockStored): void {
    if (!this.#mayTell(publisher, store)) return;
    noteTail(publisher, store);
    const { tokenIds } = store;
    for (const prompt of this.#options.recent.endingWith(publisher.model, tokenIds, store.blockSize)) {
      const end = prompt.tokens.length - (prompt.tokens.length % store.blockSize);
      const tail = prompt.tokens.subarray(Math.max(0, end - tokenIds.length), end);
      if (prompt.due > 0 && isSame(tokenIds, tail)) prompt.due--;
    }
  }

  /** Whether the store may be what an engine computed of a prompt that is remembered. */
  #mayTell(publisher: Publisher, { blockSize, medium }: BlockStored): boolean {
    const { tiers, recent } = this.#options;
    if (!recent.has(publisher.model)) return false;
    const isEngines = tiers.names[tiers.of(medium)] === ENGINE_TIER;
    return isOpen(publisher) && blockSize === publisher.blockSize && isEngines;
  }

  /** The own key of the block before the pieces, if they are the prompt's tail. */
  #parentIn(prompt: RecentPrompt, publisher: Publisher, pieces: readonly Piece[]): Lanes | undefined {
    const { blockSize, keyClass } = publisher;
    const blocks = Math.floor(prompt.tokens.length / blockSize);
    const from = blocks - pieces.reduce((sum, piece) => sum + piece.blocks, 0);
    if (from < 1 || keyClass === undefined || !canTell(keyClass, prompt)) return undefined;
    if ((blocks - from) * blockSize < MIN_TOKENS) return undefined;
    let at = from * blockSize;
    for (const piece of pieces) {
      const tokens = tokensOf(piece);
      if (!isSame(tokens, prompt.tokens.subarray(at, at + tokens.length))) return undefined;
      at += tokens.length;
    }
    const keys = this.#keysOf(prompt, publisher);
    if (keys === undefined) return undefined;
    const { chain } = keyClass;
    // Under the prompt's block before it, the last of the pieces has the key of the prompt's last: so the extra keys
    // are equal as well.
    let parent: Uint8Array = ownDigest(keys[2 * from - 2]!, keys[2 * from - 1]!);
    for (const piece of pieces) {
      const extraKeys = extraKeysOf(piece.store, piece.blocks);
      const digests = chain.hashTokens(tokensOf(piece), { parent, extraKeys });
      parent = digests.subarray(digests.length - chain.digestBytes);
    }
    const [hi, lo] = chain.toKeys(parent);
    if (hi !== keys[2 * blocks - 2] || lo !== keys[2 * blocks - 1]) return undefined;
    return [keys[2 * from - 2]!, keys[2 * from - 1]!];
  }

  #keysOf(prompt: RecentPrompt, { keyClass, blockSize }: Publisher): Uint32Array | undefined {
    let keys = prompt.keys.get(keyClass!);
    if (keys === undefined) {
      const blocks = Math.floor(prompt.tokens.length / blockSize);
      keys = this.#options.walk.keys(prompt.tokens, prompt, keyClass!, keyClass!.era, blocks);
      if (keys !== undefined) prompt.keys.set(keyClass!, keys);
    }
    return keys;
  }
}

/** Whether it may have orphans that can be placed. */
function isOpen({ mode, complete, tellsExtraKeys, keyClass }: Publisher): boolean {
  return mode === "tokens" && !complete && tellsExtraKeys && keyClass !== undefined;
}

/** Returns whether the store's last block may stand behind several prefixes. */
function noteTail({ tails }: Publisher, { tokenIds, blockSize, blockKeys }: BlockStored): boolean {
  return tails.note(endOf(tokenIds, blockSize), blockKeys.at(-1)!);
}

function tokensOf({ store, blocks }: Piece): Uint32Array {
  return store.tokenIds.subarray(0, blocks * store.blockSize);
}
