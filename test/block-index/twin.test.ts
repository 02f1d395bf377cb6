/** The table does what its naive twin does, whatever is done to both. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockIndex, type HolderLine } from "../../src/block-index/index.js";
import { collect, NaiveIndex } from "../support/naive-index.js";
import { seeded } from "../support/random.js";

interface Real {
  index: BlockIndex;
  lines: HolderLine[];
}
interface Model {
  naive: NaiveIndex;
  lines: HolderLine[];
}

/** Few enough keys that blocks are shared by many lines; more lines than an entry has room for. */
const KEYS = 40;
const LINES = 24;

/** Keys that crowd into few shards and places, so that probing, shifting and growth are exercised. */
const keyOf = (n: number): [number, number] => [0, n];
const keysOf = (numbers: readonly number[]): Uint32Array => Uint32Array.from(numbers.flatMap(keyOf));

class Verb implements fc.Command<Model, Real> {
  constructor(
    readonly name: string,
    readonly line: number,
    readonly run_: (index: BlockIndex | NaiveIndex, line: HolderLine) => void,
    readonly detail: unknown = "",
  ) {}
  check(): boolean {
    return true;
  }
  run(model: Model, real: Real): void {
    this.run_(model.naive, model.lines[this.line]!);
    this.run_(real.index, real.lines[this.line]!);
    const all = keysOf(Array.from({ length: KEYS }, (_, n) => n));
    const sorted = (blocks: string[][]): string[][] => blocks.map((holders) => holders.toSorted());
    expect(sorted(collect(real.index, all))).toEqual(sorted(model.naive.holders(all)));
    const { admissions, duplicates, evictions, unknownRemovals, voided } = real.index.counts;
    expect({ admissions, duplicates, evictions, unknownRemovals, voided }).toEqual(model.naive.counts);
    expect(real.index.slots.residents(real.lines[this.line]!)).toBe(
      model.naive.residents(model.lines[this.line]!),
    );
  }
  toString(): string {
    return `${this.name}(line ${this.line}${this.detail === "" ? "" : `, ${JSON.stringify(this.detail)}`})`;
  }
}

const line = fc.nat(LINES - 1);
const key = fc.nat(KEYS - 1);
const keys = fc.array(key, { maxLength: 12 });

const commands = [
  fc.tuple(line, keys).map(([l, k]) => new Verb("add", l, (index, at) => index.add(at, keysOf(k)), k)),
  fc.tuple(line, keys).map(([l, k]) => new Verb("evict", l, (index, at) => index.evict(at, keysOf(k)), k)),
  fc.tuple(line, fc.array(fc.tuple(key, fc.nat(3)), { maxLength: 6 })).map(
    ([l, pairs]) =>
      new Verb(
        "evict, copies left",
        l,
        (index, at) => {
          const left = Uint32Array.from(pairs, ([, copies]) => copies);
          index.evict(at, keysOf(pairs.map(([k]) => k)), 0, pairs.length, left);
        },
        pairs,
      ),
  ),
  fc.tuple(line, key).map(([l, k]) => new Verb("imply", l, (index, at) => index.imply(at, ...keyOf(k)), k)),
  fc.tuple(line, key).map(([l, k]) => new Verb("forget", l, (index, at) => index.forget(at, ...keyOf(k)), k)),
  line.map((l) => new Verb("clear", l, (index, at) => index.clear(at))),
  line.map((l) => new Verb("makeSuspect", l, (index, at) => index.makeSuspect(at))),
  line.map((l) => new Verb("clearSuspects", l, (index, at) => index.clearSuspects(at))),
  fc.tuple(line, fc.boolean()).map(
    ([l, on]) =>
      new Verb(
        "leaveMarks",
        l,
        (_, at) => {
          at.leaveMarks = on;
        },
        on,
      ),
  ),
  fc.tuple(line, fc.boolean()).map(
    ([l, on]) =>
      new Verb(
        "countCopies",
        l,
        (_, at) => {
          at.countCopies = on;
        },
        on,
      ),
  ),
  fc.tuple(line, fc.boolean()).map(
    ([l, on]) =>
      new Verb(
        "doubt",
        l,
        (index, at) => {
          if (index instanceof BlockIndex) index.slots.doubt(at, on);
          else at.doubted = on;
        },
        on,
      ),
  ),
];

describe("the block index and its naive twin", () => {
  it("agree on every holder, count and counter after any commands", () => {
    fc.assert(
      fc.property(fc.commands(commands, { maxCommands: 120 }), (run) => {
        fc.modelRun(() => {
          const index = new BlockIndex();
          const naive = new NaiveIndex();
          const open = (on: BlockIndex | NaiveIndex): HolderLine[] =>
            Array.from({ length: LINES }, (_, l) => on.openLine(1 + (l % 8), Math.floor(l / 8), 0));
          return { real: { index, lines: open(index) }, model: { naive, lines: open(naive) } };
        }, run);
      }),
      { numRuns: 60 },
    );
  });

  it("agree after growth, eviction and sweeping of thousands of blocks", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seeded(seed);
        const index = new BlockIndex();
        const naive = new NaiveIndex();
        const real = Array.from({ length: 12 }, (_, l) => index.openLine(1 + l, 0, 0));
        const model = Array.from({ length: 12 }, (_, l) => naive.openLine(1 + l, 0, 0));
        for (let step = 0; step < 300; step++) {
          const l = Math.floor(random() * 12);
          const some = keysOf(Array.from({ length: 200 }, () => Math.floor(random() * 4000)));
          const verb = random() < 0.02 ? "clear" : random() < 0.6 ? "add" : "evict";
          index[verb](real[l]!, some);
          naive[verb](model[l]!, some);
        }
        const all = keysOf(Array.from({ length: 4000 }, (_, n) => n));
        const sorted = (blocks: string[][]): string[][] => blocks.map((holders) => holders.toSorted());
        expect(sorted(collect(index, all))).toEqual(sorted(naive.holders(all)));
      }),
      { numRuns: 5 },
    );
  });
});
