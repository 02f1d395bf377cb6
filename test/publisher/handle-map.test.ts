import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HandleMap } from "../../src/publisher/index.js";
import { seeded } from "../support/random.js";

const boundless = { reserve: () => true, isHeld: () => true };

describe("the handle map", () => {
  it("gives back what a Map would, whatever is set", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(3), fc.nat(200), fc.nat(), fc.integer({ min: 1 })), { maxLength: 400 }),
        (sets) => {
          const map = new HandleMap(boundless);
          const twin = new Map<string, [number, number]>();
          for (const [hi, lo, ownHi, ownLo] of sets) {
            map.set(hi, lo * 64, ownHi, ownLo, 0);
            twin.set(`${hi} ${lo * 64}`, [ownHi, ownLo]);
          }
          expect(map.size).toBe(twin.size);
          for (let hi = 0; hi <= 3; hi++)
            for (let lo = 0; lo <= 200; lo++) {
              const known = map.get(hi, lo * 64);
              const own = twin.get(`${hi} ${lo * 64}`);
              expect(known).toBe(own !== undefined);
              if (own !== undefined) expect([map.ownHi, map.ownLo]).toEqual(own);
            }
        },
      ),
      { numRuns: 50 },
    );
  });

  it("asks for the memory it takes, gives it back, and keeps what it has when refused", () => {
    let reserved = 0;
    let limit = 64 * 1024;
    const map = new HandleMap({
      reserve: (bytes) => {
        if (reserved + bytes > limit) return false;
        reserved += bytes;
        return true;
      },
      isHeld: () => true,
    });
    const random = seeded(1);
    const kept: [number, number][] = [];
    for (let i = 0; i < 20_000; i++) {
      const handle: [number, number] = [Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32)];
      if (map.set(...handle, i, i + 1, 1e9)) kept.push(handle);
    }
    expect(reserved).toBeLessThanOrEqual(limit);
    expect(kept.length).toBeGreaterThan(1000);
    expect(kept.length).toBeLessThan(20_000);
    expect(kept.every(([hi, lo]) => map.get(hi, lo))).toBe(true);
    map.clear();
    expect(reserved).toBe(0);
    expect(map.get(...kept[0]!)).toBe(false);
    limit = 0;
    expect(map.set(1, 1, 1, 1, 0)).toBe(false);
  });

  it("forgets handles whose blocks are held no more, once there are many more of them than blocks", () => {
    const held = new Set<number>(Array.from({ length: 1000 }, (_, own) => own + 1));
    const map = new HandleMap({ reserve: () => true, isHeld: (_, ownLo) => held.has(ownLo) });
    const random = seeded(2);
    const handles = Array.from({ length: 1000 }, (_, own) => {
      const handle: [number, number] = [Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32)];
      map.set(...handle, 0, own + 1, held.size);
      return handle;
    });
    for (let own = 1001; own < 200_000; own++)
      map.set(Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32), 0, own, held.size);
    expect(map.size).toBeLessThan(3 * 4096);
    expect(handles.every(([hi, lo], own) => map.get(hi, lo) && map.ownLo === own + 1)).toBe(true);
  });

  it("keeps the handles of the last removed blocks, and forgets older ones that are not held", () => {
    const held = new Set<number>();
    const map = new HandleMap({ reserve: () => true, isHeld: (_, ownLo) => held.has(ownLo) });
    for (let own = 1; own <= 50_000; own++) {
      map.set(own, own, 0, own, 1e9);
      held.add(own);
      if (own <= 1000) continue;
      if (own % 7 === 0) continue; // of these a copy is left
      map.removed(own - 1000, own - 1000);
      held.delete(own - 1000);
      if (own % 11 !== 0) continue;
      map.set(own - 1000, own - 1000, 0, own - 1000, 1e9); // stored again
      held.add(own - 1000);
    }
    expect(map.size).toBeGreaterThan(held.size);
    expect(map.size).toBeLessThan(held.size + 2048);
    for (const own of held) expect(map.get(own, own)).toBe(true);
    for (let own = 47_500; own <= 49_000; own++) expect(map.get(own, own)).toBe(true);
  });

  it("forgets what it is told to, whatever stands behind it", () => {
    const map = new HandleMap(boundless);
    for (let lo = 1; lo <= 2000; lo++) map.set(0, lo, 7, lo, 1e9);
    for (let lo = 1; lo <= 2000; lo += 2) map.delete(0, lo);
    map.delete(9, 9);
    expect(map.size).toBe(1000);
    for (let lo = 1; lo <= 2000; lo++) expect(map.get(0, lo)).toBe(lo % 2 === 0);
  });

  it("takes the handle 0, and refuses the own key 0, which is that of a free place", () => {
    const map = new HandleMap(boundless);
    expect(map.get(0, 0)).toBe(false);
    expect(map.set(0, 0, 0, 5, 0)).toBe(true);
    expect([map.get(0, 0), map.ownLo]).toEqual([true, 5]);
    expect(map.set(1, 1, 0, 0, 0)).toBe(false);
    expect(map.get(1, 1)).toBe(false);
  });

  it("takes 32 bytes or less for each handle", () => {
    const map = new HandleMap(boundless);
    let most = 0;
    for (let i = 1; i <= 100_000; i++) {
      map.set(Math.imul(i, 0x9e3779b1) >>> 0, Math.imul(i, 0x85ebca6b) >>> 0, i, i, 1e9);
      if (i > 20_000) most = Math.max(most, map.bytes / map.size);
    }
    expect(most).toBeLessThan(32);
  });

  it("grows by small steps however many handles there are: none asks for more than a table's share", () => {
    let most = 0;
    const map = new HandleMap({
      reserve: (bytes) => {
        most = Math.max(most, bytes);
        return true;
      },
      isHeld: () => true,
    });
    const handle = (i: number): [number, number] => [
      Math.imul(i, 0x9e3779b1) >>> 0,
      Math.imul(i, 0x85ebca6b) >>> 0,
    ];
    let worst = 0;
    for (let i = 1; i <= 1_000_000; i++) {
      map.set(...handle(i), 7, i, 1e9);
      if (i > 20_000) worst = Math.max(worst, map.bytes / map.size);
    }
    expect(most).toBeLessThan((8192 / 2) * 17);
    expect(worst).toBeLessThan(32);
    for (let i = 1; i <= 1_000_000; i += 997) expect([map.get(...handle(i)), map.ownLo]).toEqual([true, i]);
  });

  it("keeps handles whose last bits are all alike, and ages them among split tables", () => {
    const held = new Set<number>();
    const map = new HandleMap({ reserve: () => true, isHeld: (_, ownLo) => held.has(ownLo) });
    const random = seeded(3);
    const handles = Array.from({ length: 40_000 }, (_, own): [number, number] => {
      const handle: [number, number] = [
        Math.floor(random() * 2 ** 32),
        own % 2 === 0 ? 0x12345 : (2 ** 20 * own) >>> 0,
      ];
      map.set(...handle, 0, own + 1, 1e9);
      held.add(own + 1);
      return handle;
    });
    expect(map.size).toBe(40_000);
    expect(handles.every(([hi, lo], own) => map.get(hi, lo) && map.ownLo === own + 1)).toBe(true);
    // All but the first thousand leave without word: the hand finds them.
    for (let own = 1001; own <= 40_000; own++) held.delete(own);
    for (let own = 50_000; own < 250_000; own++) {
      map.set(Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32), 0, own, 1000);
    }
    expect(map.size).toBeLessThan(3 * 4096);
    expect(handles.slice(0, 1000).every(([hi, lo], own) => map.get(hi, lo) && map.ownLo === own + 1)).toBe(
      true,
    );
  });
});
