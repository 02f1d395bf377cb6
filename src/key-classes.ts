/**
 * Key classes: the distinct ways in which publishers' blocks are keyed.
 *
 * Publishers of one class share the keys of a prompt, so a lookup hashes the prompt once per class, however many pods
 * there are. Pods of one model with different block sizes, algorithms or seeds are of different classes.
 * @module
 */
import type { BlockChain, BlockHasher, Hashing, KeyChain } from "./hash/index.js";
import type { ExtraKeysEra, HashAlgorithm } from "./types.js";

/** The start of an exact chain: a seed, the raw NONE_HASH, or nothing where the algorithm has none. */
export type ChainRoot = { readonly seed: string } | { readonly noneHash: Uint8Array } | Record<string, never>;

/** An algorithm and where its chain starts. */
export interface Hashed {
  readonly algorithm: HashAlgorithm;
  readonly root: ChainRoot;
}

/** What a class is made of, as plain data: another thread can make the same. */
export type KeyRecipe =
  | readonly [kind: "exact", ...Parameters<KeyClasses["exact"]>]
  | readonly [kind: "tokens", ...Parameters<KeyClasses["tokens"]>];

export interface KeyClass {
  /** Of two classes of one {@link KeyClasses}, never the same. */
  readonly name: string;
  readonly recipe: KeyRecipe;
  readonly chain: BlockChain;
  /** The engine's algorithm; null for own keys (`tokens` mode). */
  readonly algorithm: HashAlgorithm | null;
  /** How a multimodal item stands in the extra keys. */
  readonly era: ExtraKeysEra;
  /** Whether a LoRA adapter stands there by its name or by the engine's integer id. */
  readonly loraAs: "name" | "id";
  /** Salted and multimodal blocks can be told from plain ones: false for `tokens` mode on wire eras without extra keys. */
  readonly tellsExtraKeys: boolean;
}

/** Own keys. */
export interface TokenClass extends KeyClass {
  readonly chain: KeyChain;
}

/** Makes key classes and keeps one of each. */
export class KeyClasses {
  readonly #hashing: Hashing;
  /** One for all chains of own keys, so that a publisher's keys stay good while its class is still being learned. */
  readonly chainKey: Uint8Array;
  readonly #classes = new Map<string, KeyClass>();

  constructor(hashing: Hashing, chainKey: Uint8Array = crypto.getRandomValues(new Uint8Array(8))) {
    this.#hashing = hashing;
    this.chainKey = chainKey;
  }

  /** The class of a recipe, which may be another thread's. */
  of(recipe: KeyRecipe): KeyClass {
    if (recipe[0] === "tokens") {
      const [, ...parts] = recipe;
      return this.tokens(...parts);
    }
    const [, ...parts] = recipe;
    return this.exact(...parts);
  }

  exact(
    hashed: Hashed,
    blockSize: number,
    hashBlockSize: number,
    era: ExtraKeysEra,
    loraAs: "name" | "id",
  ): KeyClass {
    const { algorithm, root } = hashed;
    const name = `${algorithm} ${rootName(root)} ${blockSize} ${hashBlockSize} ${era} ${loraAs}`;
    return this.#intern(name, () => ({
      name,
      recipe: ["exact", hashed, blockSize, hashBlockSize, era, loraAs],
      chain: this.hasher(hashed, blockSize, hashBlockSize),
      algorithm,
      era,
      loraAs,
      tellsExtraKeys: true,
    }));
  }

  tokens(blockSize: number, era: ExtraKeysEra, loraAs: "name" | "id", tellsExtraKeys: boolean): TokenClass {
    const name = `tokens ${blockSize} ${era} ${loraAs} ${tellsExtraKeys}`;
    return this.#intern(name, () => ({
      name,
      recipe: ["tokens", blockSize, era, loraAs, tellsExtraKeys],
      chain: this.#hashing.tokenChain({ blockSize, key: this.chainKey }),
      algorithm: null,
      era,
      loraAs,
      tellsExtraKeys,
    }));
  }

  /** A hasher that is not kept, for probing. */
  hasher({ algorithm, root }: Hashed, blockSize: number, hashBlockSize: number = blockSize): BlockHasher {
    return this.#hashing.blockHasher({ algorithm, blockSize, hashBlockSize, ...root });
  }

  #intern<T extends KeyClass>(name: string, make: () => T): T {
    let found = this.#classes.get(name) as T | undefined;
    if (found === undefined) {
      // Block sizes come from outside. A class made twice only costs a second hashing of the prompt.
      if (this.#classes.size >= 256) this.#classes.delete(this.#classes.keys().next().value!);
      this.#classes.set(name, (found = make()));
    }
    return found;
  }
}

/** A root's name in diagnostics and maps. Seeds are no secret: they are the engine's PYTHONHASHSEED. */
export function rootName(root: ChainRoot): string {
  if ("noneHash" in root && root.noneHash instanceof Uint8Array)
    return `noneHash ${Array.from(root.noneHash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  return "seed" in root ? `seed ${JSON.stringify(root.seed)}` : "no seed";
}
