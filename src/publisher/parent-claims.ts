/**
 * Which handles prompts gave to blocks that were never announced (`tokens` mode), and whether that holds: an engine has
 * one handle for a block, so two for one own key mean that a store was taken for another prompt's.
 * @module
 */

interface Claim {
  /** What the block is known by; undefined while it is contested. */
  handle: bigint | undefined;
  /** Contested: how often each handle was found. */
  votes: Map<bigint, number> | undefined;
}

/** Claims of one publisher that are remembered, the newest, each of about so many bytes. */
const MAX_CLAIMS = 8192;
const CLAIM_BYTES = 256;
/** Once two handles were found, one is believed when it leads by so many. */
const LEAD = 2;
const MAX_VOTED = 8;

/** What comes of a claim; `contested` with the handle that was believed before. */
export type Verdict = "believed" | "waits" | { readonly contested: readonly [hi: number, lo: number] };

export class ParentClaims {
  /** Handles that were believed. */
  believed = 0;
  readonly #claims = new Map<bigint, Claim>();
  readonly #reserve: (bytes: number) => boolean;

  /** @param reserve - asks for memory (negative: gives it back); false refuses */
  constructor(reserve: (bytes: number) => boolean) {
    this.#reserve = reserve;
  }

  /** Whether a handle is believed to be the block's. */
  has(ownHi: number, ownLo: number): boolean {
    return this.#claims.get(u64(ownHi, ownLo))?.handle !== undefined;
  }

  /** A handle was found for a block: believed at once, unless another was found before. */
  claim([ownHi, ownLo]: readonly [number, number], [handleHi, handleLo]: readonly [number, number]): Verdict {
    const own = u64(ownHi, ownLo);
    const handle = u64(handleHi, handleLo);
    const known = this.#claims.get(own);
    if (known === undefined) return this.#first(own, handle);
    if (known.handle === handle) return "believed";
    const votes = (known.votes ??= new Map());
    votes.set(handle, (votes.get(handle) ?? 0) + 1);
    if (votes.size > MAX_VOTED) votes.delete(votes.keys().next().value!);
    if (known.handle !== undefined) {
      const before = known.handle;
      known.handle = undefined;
      return { contested: [Number(before >> 32n), Number(before & 0xffffffffn)] };
    }
    const others = [...votes].map(([other, count]) => (other === handle ? 0 : count));
    if (votes.get(handle)! - Math.max(...others) < LEAD) return "waits";
    known.handle = handle;
    known.votes = undefined;
    this.believed++;
    return "believed";
  }

  clear(): void {
    this.#reserve(-CLAIM_BYTES * this.#claims.size);
    this.#claims.clear();
    this.believed = 0;
  }

  #first(own: bigint, handle: bigint): Verdict {
    if (this.#claims.size >= MAX_CLAIMS) this.#claims.delete(this.#claims.keys().next().value!);
    else if (!this.#reserve(CLAIM_BYTES)) return "waits";
    this.#claims.set(own, { handle, votes: undefined });
    this.believed++;
    return "believed";
  }
}

function u64(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}
