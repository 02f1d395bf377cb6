/** What is known of prefixes gives the keys that hashing gives, within its bytes. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { blockExtraKeys, HASH_ALGORITHMS, loadHashing } from "../src/hash/index.js";
import { type KeyClass, KeyClasses } from "../src/key-classes.js";
import { KnownPrefixes } from "../src/known-prefixes.js";
import { LookupMemory } from "../src/lookup-memory.js";
import { PromptChain } from "../src/prompt-chain.js";
import type { QueryKeys } from "../src/query-keys.js";
import { seeded } from "./support/random.js";

const unbounded = { memoryLimitBytes: 2 ** 40, reserve: () => true };
let classes: KeyClasses;
beforeAll(async () => {
  classes = new KeyClasses(await loadHashing());
});

const sha = (seed: string, blockSize = 4, hashBlockSize = blockSize): KeyClass =>
  classes.exact({ algorithm: "sha256_cbor", root: { seed } }, blockSize, hashBlockSize, "offsets", "name");

/** One for all, as lookups have it: what a prompt's keys are made in is the next one's. */
const memory = new LookupMemory();

/** The blocks that the known chain hashed of a prompt, all of which are then remembered. */
function hashed(
  known: KnownPrefixes,
  keyClass: KeyClass,
  tokens: Uint32Array,
  extraKeys?: QueryKeys,
): number {
  const spy = vi.spyOn(keyClass.chain, "hashTokens");
  const blocks = Math.floor(tokens.length / keyClass.chain.blockSize);
  memory.begin();
  const chain = new PromptChain({ tokens, blocks, keyClass, extraKeys, known, memory });
  const keys = chain.rest();
  const count = spy.mock.calls.reduce((sum, [part]) => sum + part.length / keyClass.chain.blockSize, 0);
  spy.mockRestore();
  chain.remember(blocks);
  const whole = keyClass.chain.hashTokens(tokens, { extraKeys });
  expect(keys).toEqual(keyClass.chain.toKeys(whole));
  return count;
}

const prompt = (blocks: number, first = 0): Uint32Array =>
  Uint32Array.from({ length: 4 * blocks }, (_, i) => first + i);

describe("a known prefix", () => {
  it("is hashed in its first stretch and behind its last whole piece alone", () => {
    const known = new KnownPrefixes(unbounded);
    expect(hashed(known, sha("0"), prompt(600))).toBe(600);
    // Pieces end at 8, 24, 56, 120, and at each 64 more: 568 is the last.
    expect(hashed(known, sha("0"), prompt(600))).toBe(8 + (600 - 568));
    expect(hashed(known, sha("0"), prompt(640))).toBe(8 + (640 - 568));
    expect(hashed(known, sha("0"), prompt(640))).toBe(8 + (640 - 632));
  });

  it("ends at the first block that differs", () => {
    const known = new KnownPrefixes(unbounded);
    hashed(known, sha("0"), prompt(600));
    const other = prompt(600);
    other[4 * 200] = 7;
    // The piece 184 … 248 and all behind it.
    expect(hashed(known, sha("0"), other)).toBe(8 + (600 - 184));
  });

  it("is remembered as far as it was held", () => {
    const known = new KnownPrefixes(unbounded);
    const chain = new PromptChain({
      tokens: prompt(600),
      blocks: 600,
      keyClass: sha("0"),
      extraKeys: undefined,
      known,
    });
    chain.rest();
    chain.remember(183);
    expect(hashed(known, sha("0"), prompt(600))).toBe(8 + (600 - 120));
  });

  it("is known to its own class alone: not under another seed, block size, hash block size or algorithm", () => {
    const known = new KnownPrefixes(unbounded);
    hashed(known, sha("0"), prompt(600));
    expect(hashed(known, sha("1"), prompt(600))).toBe(600);
    expect(hashed(known, sha("0", 8), prompt(600))).toBe(300);
    expect(hashed(known, sha("0", 8, 4), prompt(600))).toBe(300);
    const pickle = classes.exact({ algorithm: "sha256", root: { seed: "0" } }, 4, 4, "offsets", "name");
    expect(hashed(known, pickle, prompt(600))).toBe(600);
  });

  it("may begin under a salt; blocks with extra keys of their own are hashed each time", () => {
    const known = new KnownPrefixes(unbounded);
    const salted = (cacheSalt: string): QueryKeys => blockExtraKeys({ cacheSalt }, 2400, 4, "offsets");
    hashed(known, sha("0"), prompt(600));
    expect(hashed(known, sha("0"), prompt(600), salted("a"))).toBe(600);
    expect(hashed(known, sha("0"), prompt(600), salted("a"))).toBe(8 + (600 - 568));
    expect(hashed(known, sha("0"), prompt(600), salted("b"))).toBe(600);
    const multimodal = [{ id: "image", offset: 4 * 130, length: 40 }];
    const image = blockExtraKeys({ multimodal }, 2400, 4, "offsets");
    // The pieces before the image are those of the plain prompt.
    expect(hashed(known, sha("0"), prompt(600), image)).toBe(8 + (600 - 120));
    expect(hashed(known, sha("0"), prompt(600), image)).toBe(8 + 64 + (600 - 568));
    const lora = blockExtraKeys({ loraName: "sql" }, 2400, 4, "offsets");
    hashed(known, sha("0"), prompt(600), lora);
    expect(hashed(known, sha("0"), prompt(600), lora)).toBe(600);
  });

  it("saves nothing and is not remembered where hashing is as quick: xxhash, own keys, very large blocks", () => {
    const reserve = vi.fn(() => true);
    const known = new KnownPrefixes({ memoryLimitBytes: 2 ** 40, reserve });
    const xxhash = classes.exact({ algorithm: "xxhash", root: { seed: "0" } }, 4, 4, "offsets", "name");
    for (const keyClass of [xxhash, classes.tokens(4, "offsets", "name", true), sha("0", 512)]) {
      hashed(known, keyClass, prompt(6000));
      expect(hashed(known, keyClass, prompt(6000))).toBe(Math.floor(24_000 / keyClass.chain.blockSize));
    }
    expect(reserve).not.toHaveBeenCalled();
  });

  it.each(HASH_ALGORITHMS)("gives the keys of random turns, whatever they carry (%s)", (algorithm) => {
    const random = seeded(11);
    const upTo = (n: number): number => Math.floor(random() * (n + 1));
    const plain = algorithm === "sglang";
    for (const [blockSize, hashBlockSize] of [
      [4, 4],
      [8, 4],
    ] as const) {
      const keyClass = classes.exact(
        { algorithm, root: plain ? {} : { seed: "0" } },
        blockSize,
        hashBlockSize,
        "offsets",
        "name",
      );
      // Room for 64 pieces: they come and go.
      const known = new KnownPrefixes({ memoryLimitBytes: 2 ** 21, reserve: () => true });
      const chats = Array.from({ length: 6 }, (_, chat) => prompt(40, 1000 * (chat % 2)));
      let saved = 0;
      for (let turn = 0; turn < 80; turn++) {
        const chat = upTo(chats.length - 1);
        const said = Uint32Array.from({ length: upTo(600) }, () => upTo(3));
        const before = chats[chat]!.length > 6000 ? prompt(20) : chats[chat]!;
        const tokens = Uint32Array.of(...before, ...said);
        chats[chat] = tokens;
        const cacheSalt = random() < 0.3 ? `salt ${chat}` : undefined;
        const loraName = !plain && random() < 0.2 ? "sql" : undefined;
        const offset = upTo(tokens.length - 10);
        const multimodal = !plain && random() < 0.3 ? [{ id: "image", offset, length: 10 }] : undefined;
        const era = plain || random() < 0.5 ? "offsets" : "tagged";
        const loraPath = era === "tagged" && loraName !== undefined ? "/sql" : undefined;
        const extraKeys = blockExtraKeys(
          { cacheSalt, loraName, loraPath, multimodal },
          tokens.length,
          hashBlockSize,
          era,
        ).slice(0, Math.floor(tokens.length / blockSize) * (blockSize / hashBlockSize));
        const blocks = Math.floor(tokens.length / blockSize);
        saved += blocks - hashed(known, keyClass, tokens, extraKeys);
      }
      expect(saved > 500).toBe(!algorithm.startsWith("xxhash"));
    }
  });
});

describe("the memory of known prefixes", () => {
  it("stays within a 32nd of the limit, all of it reserved; what was used last is kept", () => {
    const reserve = vi.fn((_bytes: number) => true);
    const known = new KnownPrefixes({ memoryLimitBytes: 2 ** 22, reserve });
    for (let i = 0; i < 200; i++) {
      hashed(known, sha("0"), prompt(250, 10_000 * i));
      hashed(known, sha("0"), prompt(250, 1));
    }
    const reserved = reserve.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0);
    expect(known.bytes).toBe(reserved);
    expect(reserved).toBeGreaterThan(0);
    expect(reserved).toBeLessThanOrEqual(2 ** 22 / 32);
    expect(hashed(known, sha("0"), prompt(250, 1))).toBe(8 + 2);
    expect(hashed(known, sha("0"), prompt(250, 0))).toBe(250);
  });

  it("does without what it is refused, and with nothing at the smallest limit", () => {
    const refused = new KnownPrefixes({ memoryLimitBytes: 2 ** 30, reserve: () => false });
    const smallest = new KnownPrefixes({ memoryLimitBytes: 2 ** 20, reserve: () => true });
    for (const known of [refused, smallest]) {
      hashed(known, sha("0"), prompt(600));
      expect(hashed(known, sha("0"), prompt(600))).toBe(600);
      expect(known.bytes).toBe(0);
    }
  });
});
