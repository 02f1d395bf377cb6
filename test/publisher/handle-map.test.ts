import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HandleMap } from "../../src/publisher/index.js";
import { seeded } from "../support/random.js";

const boundless = { reserve: () => true, isHeld: () => true };

describe("the handle map", () => {
  it("gives back what a Map would, whatever is set", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(3), fc.nat(200), fc.nat(), fc.nat()), { maxLength: 400 }),
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
      if (map.set(...handle, i, i, 1e9)) kept.push(handle);
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
    const held = new Set<number>(Array.from({ length: 1000 }, (_, own) => own));
    const map = new HandleMap({ reserve: () => true, isHeld: (_, ownLo) => held.has(ownLo) });
    const random = seeded(2);
    const handles = Array.from({ length: 1000 }, (_, own) => {
      const handle: [number, number] = [Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32)];
      map.set(...handle, 0, own, held.size);
      return handle;
    });
    for (let own = 1000; own < 200_000; own++)
      map.set(Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32), 0, own, held.size);
    expect(map.size).toBeLessThan(3 * 4096);
    expect(handles.every(([hi, lo], own) => map.get(hi, lo) && map.ownLo === own)).toBe(true);
  });
});
