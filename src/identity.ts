/**
 * Which hashing a publisher uses, found on evidence.
 *
 * Evidence is a **telling root**: a stored first block whose extra keys the event says, or that has no sign of any. Its
 * hash depends on that, the algorithm and the seed alone, so trying the configured and the well-known ones settles it:
 * one match proves a 64-bit hash. A root that nothing reproduces proves little alone (on older wires it may be salted), so `tokens` mode is
 * settled only by several, or by one amid plenty of other traffic.
 * @module
 */
import type { BlockStored } from "./events/index.js";
import {
  type BlockHasher,
  HASH_ALGORITHMS,
  type HashKey,
  tagExtraKeys,
  VLLM_DEFAULT_SEED,
} from "./hash/index.js";
import { type Hashed, type KeyClasses, rootName } from "./key-classes.js";
import type { ModelSettings } from "./models.js";
import type { LoraOptions } from "./options.js";

/**
 * Seeds tried when none is known: vLLM's fixed default, what people set, and what `PYTHONHASHSEED=random` and an empty
 * value come to.
 */
export const WELL_KNOWN_SEEDS: readonly string[] = [
  VLLM_DEFAULT_SEED,
  "0",
  "42",
  "1",
  "123",
  "1234",
  "random",
  "",
];

/** Block sizes whose candidate hashers are kept. */
const KEPT_BLOCK_SIZES = 8;

/** Tokens of a root that are hashed by each candidate, in all sizes together: four milliseconds for all of them. */
export const MAX_PROBED_TOKENS = 8192;

/** Hash block sizes that are tried for one block size, and the smallest. */
const MAX_HASH_SIZES = 8;
const MIN_HASH_SIZE = 4;

/** Finds the algorithm and seed that reproduce a block's hash, among those worth trying. */
export class HashProber {
  /** What is tried, for people. */
  readonly tried: readonly string[];
  readonly #candidates: readonly Hashed[];
  readonly #classes: KeyClasses;
  readonly #hashers = new Map<number, { hashed: Hashed; hasher: BlockHasher }[]>();

  /** @param seeds - tried before the well-known ones */
  constructor(classes: KeyClasses, seeds: readonly string[]) {
    this.#classes = classes;
    const all = [...new Set([...seeds, ...WELL_KNOWN_SEEDS])];
    const seeded = HASH_ALGORITHMS.filter((algorithm) => algorithm !== "sglang");
    this.#candidates = [
      ...all.flatMap((seed) => seeded.map((algorithm) => ({ algorithm, root: { seed } }))),
      { algorithm: "sglang", root: {} },
    ];
    this.tried = [
      `${seeded.join(", ")} with seeds ${all.map((seed) => JSON.stringify(seed)).join(", ")}`,
      "sglang",
    ];
  }

  /**
   * What gives a root its announced key, if anything tried does.
   * @param finer - try hashes finer than the block too, which costs several times as much
   */
  probe(
    root: BlockStored,
    loras: ReadonlyMap<string, LoraOptions>,
    finer: boolean,
  ): (Hashed & { readonly hashBlockSize: number }) | undefined {
    for (const hashBlockSize of finer ? hashBlockSizes(root) : [root.blockSize]) {
      const found = this.#at(hashBlockSize).find(({ hasher }) => reproduces(hasher, root, loras));
      if (found !== undefined) return { ...found.hashed, hashBlockSize };
    }
    return undefined;
  }

  /** How many are tried. */
  get size(): number {
    return this.#candidates.length;
  }

  /**
   * The candidate of this number, if it gives a prompt any of these announced keys: evidence for a publisher whose
   * roots were announced before we came.
   */
  probePrompt(
    candidate: number,
    tokens: Uint32Array,
    blockSize: number,
    announced: (hi: number, lo: number) => boolean,
  ): Hashed | undefined {
    const { hashed, hasher } = this.#at(blockSize)[candidate]!;
    const keys = hasher.toKeys(hasher.hashTokens(tokens));
    for (let i = 0; i < keys.length; i += 2) if (announced(keys[i]!, keys[i + 1]!)) return hashed;
    return undefined;
  }

  #at(blockSize: number): { hashed: Hashed; hasher: BlockHasher }[] {
    let hashers = this.#hashers.get(blockSize);
    if (hashers === undefined) {
      if (this.#hashers.size >= KEPT_BLOCK_SIZES) this.#hashers.delete(this.#hashers.keys().next().value!);
      hashers = this.#candidates.map((hashed) => ({
        hashed,
        hasher: this.#classes.hasher(hashed, blockSize),
      }));
      this.#hashers.set(blockSize, hashers);
    }
    return hashers;
  }
}

/** Probers by the seeds that are configured. */
export class Probers {
  readonly #classes: KeyClasses;
  readonly #probers = new Map<string, HashProber>();

  constructor(classes: KeyClasses) {
    this.#classes = classes;
  }

  of({ hash }: ModelSettings): HashProber {
    const seeds = hash.mode === "auto" ? (hash.seeds ?? []) : [];
    const name = JSON.stringify(seeds);
    let prober = this.#probers.get(name);
    if (prober === undefined) this.#probers.set(name, (prober = new HashProber(this.#classes, seeds)));
    return prober;
  }
}

/**
 * Whether the hasher gives a root's first block its announced key, with its announced extra keys in either form.
 * @param loras - what is known of adapters: tagged, one's path is hashed, which no event says
 */
export function reproduces(
  hasher: BlockHasher,
  root: BlockStored,
  loras: ReadonlyMap<string, LoraOptions>,
): boolean {
  const announced = root.extraKeys?.[0] ?? null;
  if (startsWith(hasher, root, announced)) return true;
  if (announced === null) return false;
  const name = root.loraName;
  const path = name === null ? undefined : loras.get(name)?.path;
  // An adapter's id is a key of engines that tag nothing.
  if (announced.some((key) => typeof key === "number") || (name !== null && path === undefined)) return false;
  const lora = name === null || path === undefined ? undefined : { name, path };
  return startsWith(hasher, root, tagExtraKeys(announced, lora));
}

/**
 * Whether the hasher gives a root's first block its announced key, with these extra keys. A hasher of smaller blocks
 * gives it by the last of them, which is how an engine names a block that has several hashes.
 */
export function startsWith(
  hasher: BlockHasher,
  { blockKeys, blockSize, tokenIds }: BlockStored,
  extraKeys: readonly HashKey[] | null,
): boolean {
  // SGLang's hash knows no extra keys but a salt, and announces that elsewhere.
  if (hasher.algorithm === "sglang" && extraKeys !== null) return false;
  const first = tokenIds.subarray(0, blockSize);
  const keys = hasher.toKeys(hasher.hashTokens(first, extraKeys === null ? {} : { extraKeys: [extraKeys] }));
  return keys.at(-2) === blockKeys[0] && keys.at(-1) === blockKeys[1];
}

/** Sizes that a root's hashes may have: its block size, and of a plain one the divisors worth trying. */
export function hashBlockSizes(root: BlockStored): number[] {
  const sizes = [root.blockSize];
  const most = Math.min(MAX_HASH_SIZES, Math.floor(MAX_PROBED_TOKENS / root.blockSize));
  if (isPlain(root))
    for (let parts = 2; sizes.length < most && root.blockSize / parts >= MIN_HASH_SIZE; parts++)
      if (root.blockSize % parts === 0) sizes.push(root.blockSize / parts);
  return sizes;
}

/** Whether a telling root has no extra keys: then there is one way to hash it, and its failure is evidence too. */
export function isPlain({ extraKeys }: BlockStored): boolean {
  return (extraKeys?.[0] ?? null) === null;
}

/** A full-attention store in the engine's own tier whose tokens go with its blocks. */
export function isWhole(event: BlockStored): boolean {
  return (
    (event.medium === null || event.medium.toUpperCase() === "GPU") &&
    (event.kvCacheSpecKind === null ||
      event.kvCacheSpecKind === "full_attention" ||
      event.kvCacheSpecKind === "mla_attention") &&
    event.blockSize > 0 &&
    event.blockKeys.length > 0 &&
    event.tokenIds.length === (event.blockKeys.length / 2) * event.blockSize
  );
}

/**
 * A first block whose hash depends on what the event says, the algorithm and the seed alone: its extra keys are on the
 * wire, or it has no sign of any.
 */
export function isTellingRoot(event: BlockStored): boolean {
  if (!isWhole(event) || event.parentKey !== null || event.cacheSalt !== null) return false;
  const hasLora = event.loraId !== null || event.loraName !== null;
  return event.extraKeys === null ? !hasLora : event.hasExtraKeysField;
}

/** For people: `sha256_cbor with seed "0"`. */
export function describeHashed({ algorithm, root }: Hashed): string {
  return algorithm === "sglang" ? algorithm : `${algorithm} with ${rootName(root)}`;
}
