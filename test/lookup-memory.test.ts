import { describe, expect, it } from "vitest";
import { LookupMemory } from "../src/lookup-memory.js";

describe("a lookup's memory", () => {
  it("gives lists that do not overlap, until it begins anew", () => {
    const memory = new LookupMemory();
    memory.begin();
    const bytes = memory.bytes(7).fill(1);
    const words = memory.words(3).fill(2);
    expect([bytes.length, words.length]).toEqual([7, 3]);
    expect(words.buffer).toBe(bytes.buffer);
    expect(new Set(bytes)).toEqual(new Set([1]));
    memory.begin();
    expect(memory.bytes(4).byteOffset).toBe(bytes.byteOffset);
  });

  it("gives what does not fit an array of its own", () => {
    const memory = new LookupMemory();
    memory.begin();
    const some = memory.words(1000);
    const many = memory.words(2 ** 20);
    expect(many.length).toBe(2 ** 20);
    expect(many.buffer).not.toBe(some.buffer);
    expect(memory.words(10).buffer).toBe(some.buffer);
  });
});
