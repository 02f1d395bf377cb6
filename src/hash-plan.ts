/**
 * What a lookup hashes of a prompt, as plain data: made where the index is, hashed in any thread, looked up back there.
 * @module
 */
import { loadHashing } from "./hash/index.js";
import { KeyClasses, type KeyRecipe } from "./key-classes.js";
import type { LoraOptions } from "./options.js";
import { usableBlocks } from "./prompt-walk.js";
import { type KeyedRequest, queryKeys } from "./query-keys.js";
import type { Diagnostic, ExtraKeysEra } from "./types.js";

/** Which keys are wanted of a prompt: one list for each way in which a candidate's blocks are keyed. */
export interface HashPlan {
  /** What is hashed beside the tokens. */
  readonly request: KeyedRequest;
  /** What is known of the request's adapter. */
  readonly lora: LoraOptions | undefined;
  /** Of own keys (`tokens` mode): drawn by the indexer, and good for it alone. */
  readonly chainKey: Uint8Array;
  readonly lists: readonly {
    readonly name: string;
    /** How its keys are made, for {@link PromptHasher.hashPrompt} to read. */
    readonly recipe: readonly unknown[];
    readonly era: ExtraKeysEra;
    /** Digest of the block before the tokens, where they are a prompt's end: all their blocks are hashed, to digests. */
    readonly parent?: Uint8Array | undefined;
  }[];
}

/** A prompt with its block keys. */
export interface HashedPrompt {
  readonly tokens: Uint32Array;
  /** What was hashed beside the tokens. */
  readonly request: KeyedRequest;
  /** By the plan's lists: u32 pairs `[hi, lo]`, one for each block that can be reused. */
  readonly lists: readonly {
    readonly name: string;
    readonly era: ExtraKeysEra;
    readonly keys: Uint32Array;
    /** Where the plan's list has a `parent`: the blocks' digests, end to end. */
    readonly digests?: Uint8Array | undefined;
  }[];
}

/** Hashes prompts elsewhere: a pool of `kvblock/pool`, or one's own. */
export interface PromptHasher {
  /** Whether it has no threads, so that what is asked of it is done on the calling one. Absent: it has some. */
  readonly isInline?: boolean | undefined;
  /**
   * @param tokens - are not changed, and not kept
   * @throws KvBlockError `ERR_KVBLOCK_BUSY`, `ERR_KVBLOCK_TIMEOUT`, `ERR_KVBLOCK_WORKER`, `ERR_KVBLOCK_CLOSED`; the
   *   signal's reason
   */
  hashPrompt(
    tokens: Uint32Array,
    plan: HashPlan,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<HashedPrompt>;
  /** What stands wrong with it now. */
  diagnose(): Diagnostic[];
}

const NO_KEYS: Uint32Array = new Uint32Array(0);

/** Hashes plans. One for a thread: classes are kept from one plan to the next. */
export class PlanHasher {
  readonly #hashing: Awaited<ReturnType<typeof loadHashing>>;
  #classes: KeyClasses | undefined;

  private constructor(hashing: Awaited<ReturnType<typeof loadHashing>>) {
    this.#hashing = hashing;
  }

  static async load(): Promise<PlanHasher> {
    return new PlanHasher(await loadHashing());
  }

  hash(tokens: Uint32Array, { request, lora, chainKey, lists }: HashPlan): HashedPrompt["lists"] {
    if (this.#classes === undefined || !isSame(this.#classes.chainKey, chainKey))
      this.#classes = new KeyClasses(this.#hashing, chainKey);
    const classes = this.#classes;
    const loras = new Map(request.loraName === undefined ? [] : [[request.loraName, lora ?? {}]]);
    return lists.flatMap(({ name, recipe, era, parent }) => {
      const keyClass = classes.of(recipe as KeyRecipe);
      const { chain } = keyClass;
      if (parent !== undefined) {
        const digests = chain.hashTokens(tokens, { parent });
        return [{ name, era, keys: NO_KEYS, digests }];
      }
      const extraKeys = queryKeys(request, tokens.length, keyClass, era, loras);
      if (extraKeys === "unknown") return [];
      const blocks = usableBlocks(tokens.length, chain.blockSize);
      const digests = chain.hashTokens(tokens.subarray(0, blocks * chain.blockSize), {
        extraKeys: extraKeys?.slice(0, (blocks * chain.blockSize) / chain.hashBlockSize),
      });
      return [{ name, era, keys: chain.toKeys(digests) }];
    });
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
