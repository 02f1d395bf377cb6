/**
 * The naive twin of the block index: a Map of Maps with the same verbs, written to be obviously right. No memory limit.
 */

import { CacheTurn } from "../../src/block-index/cache-turn.js";
import type { HolderLine, LookupSink } from "../../src/block-index/index.js";
import { COUNT_BITS, DOUBTED, type IndexCounts } from "../../src/block-index/index.js";

interface Entry {
  role: "held" | "implied" | "removed";
  suspect: boolean;
  count: number;
}

/** What a lookup finds of one holder, comparable. */
export type Holder = string;

export const holderName = (
  line: { owner: number; tier: number; group: number; doubted: boolean },
  entry: { role: string; suspect: boolean; count: number },
): Holder =>
  `owner ${line.owner} tier ${line.tier} group ${line.group}: ${entry.count} ${entry.role}${
    entry.suspect ? " suspect" : ""
  }${line.doubted && entry.role !== "removed" ? " doubted" : ""}`;

export class NaiveIndex {
  readonly counts: Pick<
    IndexCounts,
    "admissions" | "duplicates" | "evictions" | "unknownRemovals" | "voided"
  > = {
    admissions: 0,
    duplicates: 0,
    evictions: 0,
    unknownRemovals: 0,
    voided: 0,
  };
  readonly #lines: HolderLine[] = [];
  readonly #held = new Map<HolderLine, Map<string, Entry>>();

  openLine(owner: number, tier: number, group: number): HolderLine {
    const line: HolderLine = {
      id: this.#lines.length + 1,
      owner,
      tier,
      group,
      slots: [undefined, undefined, undefined],
      suspects: [],
      turn: new CacheTurn(),
      leaveMarks: false,
      countCopies: true,
      doubted: false,
    };
    this.#lines.push(line);
    this.#held.set(line, new Map());
    return line;
  }

  add(line: HolderLine, keys: Uint32Array): void {
    for (const key of keysOf(keys)) {
      const entry = this.#of(line).get(key);
      if (entry === undefined || entry.role === "removed") {
        this.counts.admissions++;
        this.#of(line).set(key, { role: "held", suspect: false, count: 1 });
        continue;
      }
      this.counts.duplicates++;
      const count = entry.suspect || !line.countCopies ? 1 : entry.count + 1;
      this.#of(line).set(key, { role: "held", suspect: false, count });
    }
  }

  imply(line: HolderLine, hi: number, lo: number): void {
    const key = `${hi} ${lo}`;
    const entry = this.#of(line).get(key);
    if (entry !== undefined && entry.role !== "removed" && !entry.suspect) return;
    if (entry?.suspect !== true) this.counts.admissions++;
    this.#of(line).set(key, { role: "implied", suspect: false, count: 1 });
  }

  evict(line: HolderLine, keys: Uint32Array, _from = 0, _to = keys.length / 2, left?: Uint32Array): void {
    for (const [i, key] of keysOf(keys).entries()) {
      const entry = this.#of(line).get(key);
      const mark: Entry = { role: "removed", suspect: false, count: 1 };
      if (entry === undefined || entry.role === "removed") {
        this.counts.unknownRemovals++;
        if (entry === undefined && line.leaveMarks && !(left !== undefined && left[i]! > 0))
          this.#of(line).set(key, mark);
      } else if (left !== undefined && left[i]! > 0)
        this.#of(line).set(key, { role: "held", suspect: false, count: left[i]! });
      else if (left === undefined && line.countCopies && entry.count > 1) entry.count--;
      else {
        this.counts.evictions++;
        if (line.leaveMarks) this.#of(line).set(key, mark);
        else this.#of(line).delete(key);
      }
    }
  }

  forget(line: HolderLine, hi: number, lo: number): void {
    const entry = this.#of(line).get(`${hi} ${lo}`);
    if (entry !== undefined && entry.role !== "removed") this.counts.voided++;
    this.#of(line).delete(`${hi} ${lo}`);
  }

  holds(line: HolderLine, hi: number, lo: number): boolean {
    const entry = this.#of(line).get(`${hi} ${lo}`);
    return entry !== undefined && entry.role !== "removed";
  }

  clear(line: HolderLine): void {
    for (const { role } of this.#of(line).values()) if (role !== "removed") this.counts.voided++;
    this.#of(line).clear();
  }

  makeSuspect(line: HolderLine): void {
    for (const entry of this.#of(line).values()) if (entry.role !== "removed") entry.suspect = true;
  }

  clearSuspects(line: HolderLine): void {
    for (const [key, entry] of this.#of(line)) {
      if (!entry.suspect) continue;
      this.counts.voided++;
      this.#of(line).delete(key);
    }
  }

  residents(line: HolderLine): number {
    return [...this.#of(line).values()].filter(({ role }) => role !== "removed").length;
  }

  /** The holders of each block, in any order. */
  holders(keys: Uint32Array): Holder[][] {
    return keysOf(keys).map((key) =>
      this.#lines.flatMap((line) => {
        const entry = this.#of(line).get(key);
        return entry === undefined ? [] : [holderName(line, entry)];
      }),
    );
  }

  #of(line: HolderLine): Map<string, Entry> {
    return this.#held.get(line)!;
  }
}

/** Collects what the real index's lookup hands out, as the twin names it; holders of dead slots are nobody. */
export function collect(
  index: {
    lookup(keys: Uint32Array, sink: LookupSink): boolean;
    slots: import("../../src/block-index/index.js").Slots;
  },
  keys: Uint32Array,
): Holder[][] {
  const found: Holder[][] = Array.from({ length: keys.length / 2 }, () => []);
  const { slots } = index;
  let last: Holder[] = [];
  let next = 0;
  index.lookup(keys, {
    block(block, words, from, to) {
      for (const word of words.subarray(from, to)) {
        const slot = word >>> COUNT_BITS;
        if (slots.owner[slot] === 0) continue;
        const line = {
          owner: slots.owner[slot]!,
          tier: slots.tier[slot]!,
          group: slots.group[slot]!,
          doubted: slots.role[slot]! >= DOUBTED,
        };
        const role = ["held", "implied", "removed"][slots.role[slot]! % DOUBTED]!;
        const count = word & (2 ** COUNT_BITS - 1);
        found[block]!.push(holderName(line, { role, suspect: slots.suspect[slot] === 1, count }));
      }
      last = found[block]!;
      next = block + 1;
      return true;
    },
    again(blocks) {
      for (const end = next + blocks; next < end; next++) found[next] = last;
    },
  });
  return found;
}

function keysOf(keys: Uint32Array): string[] {
  return Array.from({ length: keys.length / 2 }, (_, i) => `${keys[2 * i]} ${keys[2 * i + 1]}`);
}
