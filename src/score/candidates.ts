/**
 * Who is scored: mostly the same as by the last lookup, so that of a thousand nothing is written anew.
 * @module
 */

/** One publisher to be scored. */
export interface Candidate {
  /** Its number as the slots' owner. */
  readonly owner: number;
  /** Attention groups, as bits, that all must hold a block. */
  readonly groups: number;
  /** Its history is incomplete and its keys are the engine's own: pass over blocks never heard of. */
  readonly implyAncestors: boolean;
}

/** Candidates of one kind begin alike. */
interface Kind {
  readonly groups: number;
  readonly implyAncestors: boolean;
  size: number;
}

export class Candidates {
  /** Position of an owner, plus 1; 0 is none. By owner. */
  positions: Uint32Array = new Uint32Array(64);
  readonly kinds: Kind[] = [];
  /** By position: the number of the candidate's kind. */
  readonly kindOf: number[] = [];
  readonly #owners: number[] = [];

  take(candidates: readonly Candidate[]): void {
    if (this.#areTaken(candidates)) return;
    for (const owner of this.#owners) this.positions[owner] = 0;
    this.kinds.length = this.kindOf.length = this.#owners.length = 0;
    const numbers = new Map<number, number>();
    for (const { owner, groups, implyAncestors } of candidates) {
      const name = groups * 2 + Number(implyAncestors);
      let number = numbers.get(name);
      if (number === undefined) {
        number = this.kinds.push({ groups, implyAncestors, size: 0 }) - 1;
        numbers.set(name, number);
      }
      this.kinds[number]!.size++;
      this.kindOf.push(number);
      this.#reserve(owner);
      this.positions[owner] = this.#owners.push(owner);
    }
  }

  #areTaken(candidates: readonly Candidate[]): boolean {
    const { kinds, kindOf } = this;
    const owners = this.#owners;
    if (candidates.length !== owners.length) return false;
    for (let p = 0; p < owners.length; p++) {
      const candidate = candidates[p]!;
      const kind = kinds[kindOf[p]!]!;
      if (candidate.owner !== owners[p] || candidate.groups !== kind.groups) return false;
      if (candidate.implyAncestors !== kind.implyAncestors) return false;
    }
    return true;
  }

  #reserve(owner: number): void {
    let length = this.positions.length;
    if (owner < length) return;
    while (owner >= length) length *= 2;
    const positions = new Uint32Array(length);
    positions.set(this.positions);
    this.positions = positions;
  }
}
