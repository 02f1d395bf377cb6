/**
 * Explains a lookup: what of a prompt each pod matches, and why no more. Reads and changes nothing.
 * @module
 */
import type { BlockIndex, Tiers } from "./block-index/index.js";
import { COUNT_BITS, Role } from "./block-index/index.js";
import type { Explanation, MatchEnd, PodExplanation } from "./explanation.js";
import { explainedMessage } from "./explanation.js";
import type { KeyClass } from "./key-classes.js";
import type { Models } from "./models.js";
import { type Found, type PromptWalk, usableBlocks } from "./prompt-walk.js";
import type { Publisher } from "./publisher-state.js";
import type { Publishers } from "./publishers.js";
import { type Query, resolveQuery } from "./query.js";
import { canTell, erasOf } from "./query-keys.js";
import { extrasOf, variationsOf } from "./query-variations.js";
import type { RecentRemovals } from "./recent-removals.js";
import { checkTokens } from "./score-arguments.js";
import type { FrameMark } from "./stream-history.js";
import type { ScoreRequest, TokenIds } from "./types.js";

export interface ExplainerOptions {
  readonly index: BlockIndex;
  readonly tiers: Tiers;
  readonly models: Models;
  readonly publishers: Publishers;
  readonly removals: RecentRemovals;
  readonly walk: PromptWalk;
}

export class Explainer {
  readonly #options: ExplainerOptions;

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  /** @throws TypeError or RangeError for a mistake in the arguments, and nothing else */
  explain(tokens: TokenIds, request: ScoreRequest): Explanation {
    const ids = checkTokens(tokens);
    const { models, publishers, walk } = this.#options;
    const query = resolveQuery(request, ids.length, models, publishers);
    const { model, candidates } = query;
    const found = walk.match(ids, query, false);
    const pods = candidates.map((publisher, i) => this.#pod(ids, query, publisher, found.of(i)));
    const known = new Set(candidates.map(({ pod }) => pod));
    const isServed = publishers.ofModel(model).length > 0;
    for (const pod of query.pods ?? []) if (!known.has(pod)) pods.push(unknownPod(pod, model, isServed));
    const order = new Map((query.pods ?? []).map((pod, i) => [pod, i]));
    if (order.size > 0) pods.sort((a, b) => order.get(a.pod)! - order.get(b.pod)!);
    const nobody = isServed ? "No candidate pods were given." : `No pod announces ${JSON.stringify(model)}.`;
    return { model, promptTokens: ids.length, pods, message: pods.length === 0 ? nobody : "" };
  }

  #pod(ids: Uint32Array, query: Query, publisher: Publisher, found: Found | undefined): PodExplanation {
    const { keyClass, blockSize, mode, settings } = publisher;
    const { blocks, implied, suspect, last } = found?.match ?? NOTHING;
    const dropped = settings.drafting && blocks > 0 ? 1 : 0;
    const cap = blockSize === 0 ? 0 : usableBlocks(ids.length, blockSize);
    const explained = {
      pod: publisher.pod,
      dataParallelRank: publisher.dataParallelRank,
      state: publisher.state,
      complete: publisher.complete,
      mode,
      keys:
        keyClass === undefined
          ? null
          : {
              algorithm: keyClass.algorithm,
              blockSize: keyClass.chain.blockSize,
              hashBlockSize: keyClass.chain.hashBlockSize,
              extraKeys: found?.era ?? keyClass.era,
            },
      usable: settings.drafting ? Math.max(0, cap - 1) : cap,
      matched: blocks - dropped,
      implied: implied - dropped * last.implied,
      suspect: suspect - dropped * last.suspect,
      end: this.#end(ids, query, publisher, found, cap),
    };
    return { ...explained, message: explainedMessage(explained, query.model) };
  }

  #end(
    ids: Uint32Array,
    query: Query,
    publisher: Publisher,
    found: Found | undefined,
    cap: number,
  ): MatchEnd {
    const { keyClass, settings, blockSize } = publisher;
    if (publisher.mode === "undecided") return { reason: "unknown-hash", block: 0 };
    if (keyClass === undefined) return emptied(publisher, 0) ?? unheard(publisher);
    if (cap === 0) return { reason: "block-size", block: 0 };
    const matched = found?.match.blocks ?? 0;
    if (found !== undefined && matched === cap) {
      const suspect = this.#firstSuspect(ids, query, publisher, found);
      if (suspect !== undefined) return { reason: "suspect", block: suspect };
      return settings.drafting || ids.length % blockSize === 0
        ? { reason: "cap", block: settings.drafting ? Math.max(0, cap - 1) : cap }
        : { reason: "matched-all", block: null };
    }
    const evidence = this.#evidence(ids, query, publisher, keyClass, matched);
    if (evidence !== undefined && evidence !== "untellable") return evidence;
    const otherwise = this.#otherwise(ids, query, publisher, matched);
    if (otherwise !== undefined) return otherwise;
    if (evidence === "untellable") {
      const differs = extrasOf(query);
      return { reason: "extra-keys", block: matched, differs };
    }
    const isUnproved = publisher.mode === "exact" && !publisher.verified && matched === 0;
    if (isUnproved && publisher.residents > 0) return { reason: "unknown-hash", block: 0 };
    return emptied(publisher, matched) ?? { reason: "never-stored", block: matched };
  }

  /** What is known of the block that ended the match, in any form that its extra keys may have. */
  #evidence(
    ids: Uint32Array,
    query: Query,
    publisher: Publisher,
    keyClass: KeyClass,
    block: number,
  ): MatchEnd | "untellable" | undefined {
    let isTold = false;
    for (const era of canTell(keyClass, query) ? erasOf(keyClass, query) : []) {
      const keys = this.#options.walk.keys(ids, query, keyClass, era, block + 1);
      if (keys === undefined) continue;
      isTold = true;
      const end = this.#ofBlock(publisher, keys.slice(2 * block), block);
      if (end !== undefined) return end;
    }
    if (!isTold) return "untellable";
    const { blockSize } = publisher;
    const tokens = ids.subarray(block * blockSize, (block + 1) * blockSize);
    return publisher.parked.has(tokens) ? { reason: "parked", block } : undefined;
  }

  #ofBlock(publisher: Publisher, key: Uint32Array, block: number): MatchEnd | undefined {
    const { index, removals, tiers } = this.#options;
    const { slots } = index;
    const lines = new Map(Array.from(publisher.lines, (line) => [line.id, line]));
    let groups = 0;
    let isMarked = false;
    let doubted: number | undefined;
    let voided: MatchEnd | undefined;
    let wasBefore = false;
    // What is suspect and void was cleared, unless frames were lost since: then it was turned over.
    const { clearedBy, gapAt, formerLines, restartedBy } = publisher.history;
    const wasGivenUp = (clearedBy?.seq ?? -1) < gapAt;
    const sink = {
      block: (_block: number, words: Uint32Array, from: number, to: number): boolean => {
        for (let i = from; i < to; i++) {
          const slot = words[i]! >>> COUNT_BITS;
          const line = slots.line[slot]!;
          const isRemoved = slots.role[slot] === Role.Removed;
          if (lines.has(line) && isRemoved) isMarked = true;
          else if (lines.get(line)?.doubted === true) doubted = slots.tier[slot];
          else if (lines.has(line)) groups |= 1 << slots.group[slot]!;
          else if (isRemoved) continue;
          else if (formerLines.has(-line)) wasBefore = true;
          else if (!lines.has(-line)) continue;
          // A dead slot keeps whether it was suspect.
          else if (slots.suspect[slot] === 1 && wasGivenUp) voided = { reason: "given-up", block };
          else voided = { reason: "cleared", block, ...markOf(clearedBy) };
        }
        return false;
      },
      again: () => {},
    };
    index.lookup(key, sink, block, false);
    const missing = groupsIn(publisher.decidingGroups & ~groups);
    if (groups !== 0 && missing.length > 0) return { reason: "group-missing", block, groups: missing };
    if (publisher.ambiguous.has(key[0]!, key[1]!)) return { reason: "ambiguous", block };
    if (doubted !== undefined) return { reason: "tier-doubted", block, tier: tiers.names[doubted]! };
    const removal = removals.find(new Set(lines.keys()), key[0]!, key[1]!);
    const isOvertaken =
      voided?.seq !== undefined && removal !== undefined && removal.seq < Number(voided.seq);
    if (removal !== undefined && !isOvertaken) {
      if (removal.dropped) return { reason: "dropped", block };
      const tier = tiers.names[lines.get(removal.line)!.tier]!;
      return { reason: "removed", block, ...markOf(removal), tier };
    }
    if (voided !== undefined) return voided;
    if (isMarked) return { reason: "removed", block };
    return wasBefore ? { reason: "restarted", block, ...markOf(restartedBy) } : undefined;
  }

  /** Whether more would match had the request named something else beside its tokens. */
  #otherwise(ids: Uint32Array, query: Query, publisher: Publisher, matched: number): MatchEnd | undefined {
    let best: MatchEnd | undefined;
    for (const { differs, ...change } of variationsOf(query, publisher)) {
      const other: Query = { ...query, ...change, candidates: [publisher] };
      const wouldMatch = this.#options.walk.match(ids, other, false).blocks(0);
      if (wouldMatch <= (best?.wouldMatch ?? matched)) continue;
      best = { reason: "salt-or-lora", block: matched, differs, wouldMatch };
    }
    return best;
  }

  /** The first matched block of which every copy of a deciding group is suspect. */
  #firstSuspect(ids: Uint32Array, query: Query, publisher: Publisher, found: Found): number | undefined {
    if (found.match.suspect === 0) return undefined;
    const { index, walk } = this.#options;
    const { owner, suspect, role, group } = index.slots;
    const wanted = publisher.decidingGroups;
    const keys = walk.keys(ids, query, publisher.keyClass!, found.era, found.match.blocks);
    let first: number | undefined;
    const sink = {
      block: (block: number, words: Uint32Array, from: number, to: number): boolean => {
        let held = 0;
        let sure = 0;
        for (let i = from; i < to; i++) {
          const slot = words[i]! >>> COUNT_BITS;
          // Nor what is doubted, whose numbers are higher still.
          if (owner[slot] !== publisher.owner || role[slot]! >= Role.Removed) continue;
          held |= 1 << group[slot]!;
          if (suspect[slot] === 0) sure |= 1 << group[slot]!;
        }
        if ((held & wanted) !== 0 && (sure & wanted) >>> 0 !== wanted) first = block;
        return first === undefined;
      },
      // What has the same holders is as sure.
      again: () => {},
    };
    index.lookup(keys!, sink, 0, false);
    return first;
  }
}

const NOTHING = { blocks: 0, implied: 0, suspect: 0, last: { implied: 0, suspect: 0 } };

/** It holds nothing at all, since it was cleared or restarted. */
function emptied(publisher: Publisher, block: number): MatchEnd | undefined {
  const { clearedBy, restartedBy } = publisher.history;
  if (publisher.residents > 0 || (clearedBy ?? restartedBy) === undefined) return undefined;
  return {
    reason: clearedBy === undefined ? "restarted" : "cleared",
    block,
    ...markOf(clearedBy ?? restartedBy),
  };
}

/** Nothing told how its blocks are keyed. */
function unheard({ residents }: Publisher): MatchEnd {
  return residents > 0 ? { reason: "block-size", block: null } : { reason: "never-stored", block: 0 };
}

function markOf(mark: FrameMark | undefined): Pick<MatchEnd, "seq" | "at"> {
  if (mark === undefined) return {};
  const seq = BigInt(mark.seq).toString();
  return Number.isFinite(mark.at) ? { seq, at: mark.at } : { seq };
}

function groupsIn(bits: number): number[] {
  return Array.from({ length: 32 }, (_, group) => group).filter((group) => (bits & (1 << group)) !== 0);
}

function unknownPod(pod: string, model: string, isServed: boolean): PodExplanation {
  const explained = {
    pod,
    dataParallelRank: null,
    state: "unknown",
    complete: false,
    mode: null,
    keys: null,
    usable: 0,
    matched: 0,
    implied: 0,
    suspect: 0,
    end: { reason: isServed ? "unknown-pod" : "model", block: 0 },
  } as const;
  return { ...explained, message: explainedMessage({ ...explained, complete: true }, model) };
}
