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

type State = "absent" | "held" | "implied" | "removed";

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
  for (const [owner, tier, group, block, state] of cells) {
    const place = at(owner, tier, group, block);
    if (states.has(place)) continue;
    states.set(place, state);
    const name = `${owner} ${tier} ${group}`;
    let line = lines.get(name);
    if (line === undefined) lines.set(name, (line = index.openLine(owner, tier, group)));
    line.leaveMarks = state === "removed";
    const key = keys.subarray(2 * block, 2 * block + 2);
    if (state === "held") index.add(line, key);
    else if (state === "implied") index.imply(line, key[0]!, key[1]!);
    else if (state === "removed") index.evict(line, key);
  }
  return { index, states };
}

/** The definition, said as plainly as possible. */
function expected({ states }: World, { owner, groups, implyAncestors }: Candidate): object {
  const match = { blocks: 0, implied: 0, byTier: WEIGHTS.map(() => 0) };
  let holes: number[] = [];
  for (let block = 0; block < BLOCKS; block++) {
    const cells = Array.from({ length: TIERS * GROUPS }, (_, i) => ({
      tier: Math.floor(i / GROUPS),
      group: i % GROUPS,
      state: states.get(at(owner, Math.floor(i / GROUPS), i % GROUPS, block)) ?? "absent",
    }));
    const there = cells.filter(({ state }) => state === "held" || state === "implied");
    const held = there.reduce((bits, { group }) => bits | (1 << group), 0);
    const best = there.reduce(
      (tier, cell) => (WEIGHTS[cell.tier]! > WEIGHTS[tier]! ? cell.tier : tier),
      there[0]?.tier ?? 0,
    );
    if (there.length > 0 && (held & groups) === groups && (holes.length === 0 || best === 0)) {
      match.blocks = block + 1;
      match.byTier[0]! += holes.length;
      match.byTier[best]!++;
      const announced = there.reduce(
        (bits, { state, group }) => bits | (state === "held" ? 1 << group : 0),
        0,
      );
      match.implied += holes.length + ((announced & groups) === groups ? 0 : 1);
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
  fc.constantFrom<State>("held", "held", "held", "implied", "removed"),
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
  it("matches what the definition says, for any holders and candidates", () => {
    fc.assert(
      fc.property(fc.array(cell, { maxLength: 80 }), candidates, (cells, who) => {
        const world = build(cells);
        const scorer = new PrefixScorer(world.index.slots);
        for (let round = 0; round < 2; round++) {
          const matches = scorer.begin(who, WEIGHTS);
          world.index.lookup(keys, scorer);
          expect(matches.length).toBe(who.length);
          for (const [i, candidate] of who.entries()) {
            const { blocks, implied, byTier } = matches.at(i);
            expect({ blocks, implied, byTier }).toEqual(expected(world, candidate));
            expect(matches.blocks(i)).toBe(blocks);
            const worth = byTier.reduce((sum, count, tier) => sum + count * WEIGHTS[tier]!, 0);
            expect(matches.score(i, WEIGHTS)).toBeCloseTo(worth, 9);
          }
        }
      }),
      { numRuns: 300 },
    );
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
