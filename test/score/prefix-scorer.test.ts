/** The scorer gives what a block-by-block definition of the match gives, over a real index. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockIndex, type HolderLine } from "../../src/block-index/index.js";
import { type Candidate, PrefixScorer } from "../../src/score/index.js";

const BLOCKS = 12;
const OWNERS = 6;
const TIERS = 3;
const GROUPS = 2;
const WEIGHTS = [1, 0.8, 0.5];
const keys = Uint32Array.from({ length: 2 * BLOCKS }, (_, i) => (i % 2 === 0 ? 7 : 1000 + i));

/** `suspect`: held, and then a frame was lost. */
type State = "absent" | "held" | "suspect" | "implied" | "removed";

interface World {
  index: BlockIndex;
  /** By owner, tier, group and block. */
  states: Map<string, State>;
}

const at = (owner: number, tier: number, group: number, block: number): string =>
  `${owner} ${tier} ${group} ${block}`;

function build(cells: readonly (readonly [number, number, number, number, State])[]): World {
  const index = new BlockIndex();
  const lines = new Map<string, HolderLine>();
  const states = new Map<string, State>();
  const lineOf = (owner: number, tier: number, group: number): HolderLine => {
    const name = `${owner} ${tier} ${group}`;
    let line = lines.get(name);
    if (line === undefined) lines.set(name, (line = index.openLine(owner, tier, group)));
    return line;
  };
  for (const [owner, tier, group, block, state] of cells) {
    const place = at(owner, tier, group, block);
    if (!states.has(place)) states.set(place, state);
  }
  const all = Array.from(states, ([place, state]) => ({ place: place.split(" ").map(Number), state }));
  const keyOf = (block: number): Uint32Array => keys.subarray(2 * block, 2 * block + 2);
  for (const { place, state } of all) {
    const [owner, tier, group, block] = place as [number, number, number, number];
    if (state === "suspect") index.add(lineOf(owner, tier, group), keyOf(block));
  }
  for (const line of lines.values()) index.makeSuspect(line);
  for (const { place, state } of all) {
    const [owner, tier, group, block] = place as [number, number, number, number];
    const line = lineOf(owner, tier, group);
    const key = keyOf(block);
    line.leaveMarks = state === "removed";
    if (state === "held") index.add(line, key);
    else if (state === "implied") index.imply(line, key[0]!, key[1]!);
    else if (state === "removed") index.evict(line, key);
  }
  return { index, states };
}

/** The definition, said as plainly as possible. */
function expected(
  { states }: World,
  { owner, groups, implyAncestors }: Candidate,
  weights: readonly number[],
): object {
  const match = { blocks: 0, implied: 0, suspect: 0, byTier: weights.map(() => 0) };
  let holes: number[] = [];
  for (let block = 0; block < BLOCKS; block++) {
    const cells = Array.from({ length: TIERS * GROUPS }, (_, i) => ({
      tier: Math.floor(i / GROUPS),
      group: i % GROUPS,
      state: states.get(at(owner, Math.floor(i / GROUPS), i % GROUPS, block)) ?? "absent",
    }));
    const groupsOf = (...wanted: State[]): number =>
      cells.reduce((bits, { state, group }) => bits | (wanted.includes(state) ? 1 << group : 0), 0);
    const there = cells.filter(({ state }) => state !== "absent" && state !== "removed");
    const held = groupsOf("held", "suspect", "implied");
    const best = there.reduce(
      (tier, cell) => (weights[cell.tier]! > weights[tier]! ? cell.tier : tier),
      there[0]?.tier ?? 0,
    );
    if (there.length > 0 && (held & groups) === groups && (holes.length === 0 || best === 0)) {
      match.blocks = block + 1;
      match.byTier[0]! += holes.length;
      match.byTier[best]!++;
      match.implied += holes.length + ((groupsOf("held", "suspect") & groups) === groups ? 0 : 1);
      match.suspect += (groupsOf("held", "implied") & groups) === groups ? 0 : 1;
      holes = [];
    } else if (!implyAncestors || cells.some(({ state }) => state === "removed")) break;
    else holes.push(block);
  }
  return match;
}

const cell = fc.tuple(
  fc.integer({ min: 1, max: OWNERS }),
  fc.nat(TIERS - 1),
  fc.nat(GROUPS - 1),
  fc.oneof({ weight: 3, arbitrary: fc.nat(4) }, { weight: 1, arbitrary: fc.nat(BLOCKS - 1) }),
  fc.constantFrom<State>("held", "held", "held", "suspect", "implied", "removed"),
);
const candidates = fc.uniqueArray(
  fc.record({
    owner: fc.integer({ min: 1, max: OWNERS + 100 }),
    groups: fc.integer({ min: 1, max: 3 }),
    implyAncestors: fc.boolean(),
  }),
  { selector: ({ owner }) => owner, minLength: 1 },
);

describe("the prefix scorer", () => {
  it("matches what the definition says, for any holders, candidates and worth of tiers", () => {
    const worths = fc.constantFrom([1, 0.8, 0.5], [0.5, 1, 0.8], [0.8, 0.5, 1]);
    fc.assert(
      fc.property(fc.array(cell, { maxLength: 80 }), candidates, worths, (cells, who, weights) => {
        const world = build(cells);
        const scorer = new PrefixScorer(world.index.slots);
        for (let round = 0; round < 2; round++) {
          const matches = scorer.begin(who, weights);
          world.index.lookup(keys, scorer);
          expect(matches.length).toBe(who.length);
          for (const [i, candidate] of who.entries()) {
            const { blocks, implied, suspect, byTier } = matches.at(i);
            expect({ blocks, implied, suspect, byTier }).toEqual(expected(world, candidate, weights));
            expect(matches.blocks(i)).toBe(blocks);
            const worth = byTier.reduce((sum, count, tier) => sum + count * weights[tier]!, 0);
            expect(matches.score(i, weights)).toBeCloseTo(worth, 9);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("keeps apart what candidates share: one that takes its last block back, and those that part later", () => {
    const index = new BlockIndex();
    const lines = Array.from({ length: 100 }, (_, i) => index.openLine(i + 1, 0, 0));
    // All of them have three blocks, and each third has one more, or two.
    for (const [i, line] of lines.entries()) index.add(line, keys, 0, 3 + (i % 3));
    const scorer = new PrefixScorer(index.slots);
    const who = lines.map(({ owner }) => ({ owner, groups: 1, implyAncestors: false }));
    for (const some of [who, who.slice(10, 60), who.toReversed()]) {
      const matches = scorer.begin(some, WEIGHTS);
      index.lookup(keys, scorer);
      for (let i = 0; i < some.length; i += 2) matches.dropLast(i);
      for (const [i, { owner }] of some.entries())
        expect(matches.at(i).blocks).toBe(3 + ((owner - 1) % 3) - (i % 2 === 0 ? 1 : 0));
    }
  });

  it("goes over a change of holders at every block", () => {
    const index = new BlockIndex();
    const many = Uint32Array.from({ length: 2 * 300 }, (_, i) => 5000 + i);
    const lines = Array.from({ length: 40 }, (_, i) => index.openLine(i + 1, 0, 0));
    const length = (i: number): number => 300 - 7 * i;
    for (const [i, line] of lines.entries()) index.add(line, many, 0, length(i));
    for (let block = 0; block < 300; block++)
      index.add(index.openLine(1000 + block, 0, 0), many, block, block + 1);
    const scorer = new PrefixScorer(index.slots);
    const who = lines.map(({ owner }) => ({ owner, groups: 1, implyAncestors: false }));
    const matches = scorer.begin(who, WEIGHTS);
    index.lookup(many, scorer);
    for (const i of who.keys()) expect(matches.at(i)).toMatchObject({ blocks: length(i), implied: 0 });
  });

  it("wants no further block once no candidate's run goes on", () => {
    const index = new BlockIndex();
    index.add(index.openLine(1, 0, 0), keys.subarray(0, 6));
    const scorer = new PrefixScorer(index.slots);
    scorer.begin([{ owner: 1, groups: 1, implyAncestors: false }], WEIGHTS);
    expect(index.lookup(keys.subarray(0, 6), scorer)).toBe(true);
    expect(index.lookup(keys.subarray(6), scorer, 3)).toBe(false);
  });

  it("counts suspect blocks, and says what the last block was", () => {
    const index = new BlockIndex();
    const line = index.openLine(1, 1, 0);
    index.add(line, keys.subarray(0, 4));
    index.makeSuspect(line);
    index.add(line, keys.subarray(4, 6));
    const scorer = new PrefixScorer(index.slots);
    const matches = scorer.begin([{ owner: 1, groups: 1, implyAncestors: false }], WEIGHTS);
    index.lookup(keys, scorer);
    const match = matches.at(0);
    expect(match).toMatchObject({ blocks: 3, suspect: 2, byTier: [0, 3, 0] });
    expect(match.last).toEqual({ tier: 1, implied: 0, suspect: 0 });
    matches.dropLast(0);
    expect(matches.at(0)).toMatchObject({ blocks: 2, suspect: 2, byTier: [0, 2, 0] });
  });

  it("is not sure of a block that one of the deciding groups is not sure of, the 32nd too", () => {
    const index = new BlockIndex();
    const [first, last] = [0, 31].map((group) => index.openLine(1, 0, group));
    for (const line of [first!, last!]) index.add(line, keys, 0, 3);
    index.makeSuspect(last!);
    index.add(last!, keys, 0, 1);
    index.makeSuspect(first!);
    index.add(first!, keys, 0, 2);
    const scorer = new PrefixScorer(index.slots);
    const match = (groups: number): object => {
      const matches = scorer.begin([{ owner: 1, groups, implyAncestors: false }], WEIGHTS);
      index.lookup(keys, scorer);
      return matches.at(0)!;
    };
    expect(match(1)).toMatchObject({ blocks: 3, suspect: 1 });
    expect(match(2 ** 31)).toMatchObject({ blocks: 3, suspect: 2 });
    expect(match(2 ** 31 + 1)).toMatchObject({ blocks: 3, suspect: 2, last: { suspect: 1 } });
  });

  it("passes over what a doubted line holds, as if it were not there, until it is doubted no more", () => {
    const index = new BlockIndex();
    const own = index.openLine(1, 0, 0);
    const slower = index.openLine(1, 1, 0);
    index.add(own, keys, 0, 2);
    index.add(slower, keys, 0, 6);
    const match = (implyAncestors: boolean): object => {
      const scorer = new PrefixScorer(index.slots);
      const found = scorer.begin([{ owner: 1, groups: 1, implyAncestors }], WEIGHTS);
      index.lookup(keys, scorer);
      return found.at(0);
    };
    expect(match(false)).toMatchObject({ blocks: 6, byTier: [2, 4, 0] });
    index.slots.doubt(slower, true);
    for (const open of [false, true]) expect(match(open)).toMatchObject({ blocks: 2, byTier: [2, 0, 0] });
    index.makeSuspect(slower);
    index.add(slower, keys, 0, 3);
    expect(match(false)).toMatchObject({ blocks: 2, suspect: 0 });
    // A removal that was seen ends the run all the same.
    slower.leaveMarks = true;
    index.evict(slower, keys.subarray(6, 8));
    index.add(own, keys, 5, 6);
    expect(match(true)).toMatchObject({ blocks: 2 });
    index.slots.doubt(slower, false);
    expect(match(false)).toMatchObject({ blocks: 3, suspect: 0, byTier: [2, 1, 0] });
  });
});
