/**
 * What does a block hash cost, by algorithm and block size, and what would it cost without the kernel? Everything of one
 * block size takes turns, so that what else the machine does befalls all alike: compare within a run.
 *
 *     npm run bench -- hash-chain [--json]
 *
 * - `plain Node`: the same chain with the serialising in JavaScript and Node's quickest call for a digest.
 * - `hash-wasm`: the same with hash-wasm's XXH3-128, one call for each block.
 * - `native`: OpenSSL from C over as many bytes, without serialising, if there are `cc` and OpenSSL's headers:
 *   `SHA256()`, and `EVP_Digest` with the algorithm fetched once, as Node calls it.
 */
import { execFileSync } from "node:child_process";
import { hash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createXXHash128 } from "hash-wasm";
import { type BlockHasherOptions, createBlockHasher, HASH_ALGORITHMS, loadHashing } from "kvblock/hash";
import { type Result, report, seeded } from "./measure.js";

const ROUNDS = 15;
const TOKENS = 16_384;
const random = seeded(42);
const tokens = Uint32Array.from({ length: TOKENS }, () => Math.floor(random() * 152_000));

type Body = () => Uint8Array;
type Digest = (input: Uint8Array) => Uint8Array | string;

/** Writes `[parent, tokens, null]` into `out`; gives the length. */
type Serialise = (out: Uint8Array, parent: Uint8Array, start: number, count: number) => number;

const cbor: Serialise = (out, parent, start, count) => {
  let at = 0;
  out[at++] = 0x83;
  if (parent.length > 23) out[at++] = 0x58;
  out[at++] = parent.length > 23 ? parent.length : 0x40 | parent.length;
  out.set(parent, at);
  at += parent.length;
  if (count > 255) {
    out[at++] = 0x99;
    out[at++] = count >>> 8;
  } else if (count > 23) out[at++] = 0x98;
  out[at++] = count > 23 ? count : 0x80 | count;
  for (let i = start; i < start + count; i++) {
    const token = tokens[i]!;
    if (token > 65535) {
      out[at++] = 0x1a;
      out[at++] = token >>> 24;
      out[at++] = token >>> 16;
      out[at++] = token >>> 8;
    } else if (token > 255) {
      out[at++] = 0x19;
      out[at++] = token >>> 8;
    } else if (token > 23) out[at++] = 0x18;
    out[at++] = token;
  }
  out[at++] = 0xf6;
  return at;
};

const pickle: Serialise = (out, parent, start, count) => {
  out.set([0x80, 5, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x43, parent.length], 0);
  out.set(parent, 13);
  let at = 13 + parent.length;
  out[at++] = 0x94;
  out[at++] = 0x28;
  for (let i = start; i < start + count; i++) {
    const token = tokens[i]!;
    out[at++] = token < 256 ? 0x4b : token < 65536 ? 0x4d : 0x4a;
    out[at++] = token;
    if (token < 256) continue;
    out[at++] = token >>> 8;
    if (token < 65536) continue;
    out[at++] = token >>> 16;
    out[at++] = token >>> 24;
  }
  out.set([0x74, 0x94, 0x4e, 0x87, 0x94, 0x2e], at);
  at += 6;
  out[3] = at - 11;
  out[4] = (at - 11) >>> 8;
  return at;
};

/** A chain as one would write it without kvblock. */
function chain(serialise: Serialise, digest: Digest, noneHash: Uint8Array, blockSize: number): Body {
  const out = new Uint8Array(64 + 7 * blockSize);
  return () => {
    const size = noneHash.length;
    const digests = new Uint8Array((TOKENS / blockSize) * size);
    let parent = noneHash;
    for (let start = 0, at = 0; start < TOKENS; start += blockSize, at += size) {
      const value = digest(out.subarray(0, serialise(out, parent, start, blockSize)));
      if (typeof value === "string") for (let i = 0; i < size; i++) digests[at + i] = value.charCodeAt(i);
      else digests.set(value, at);
      parent = digests.subarray(at, at + size);
    }
    return digests;
  };
}

const NATIVE = `
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
int main(int count, char **values) {
  static unsigned char block[1 << 20], digest[32];
  for (int r = 0; r < 5000; r++) SHA256(block, 128, digest); /* warm up */
  for (int i = 1; i < count; i++) {
    int length = atoi(values[i]), rounds = 2000;
    double t = now();
    for (int r = 0; r < rounds; r++) { SHA256(block, length, digest); memcpy(block, digest, 32); }
    printf("%.1f ", (now() - t) / rounds);
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    t = now();
    for (int r = 0; r < rounds; r++) { EVP_Digest(block, length, digest, NULL, sha256, NULL); memcpy(block, digest, 32); }
    printf("%.1f ", (now() - t) / rounds);
    EVP_MD_free(sha256);
  }
}
`;

/** The C program, or why there is none. */
function compileNative(folder: string): { program: string } | { skipped: string } {
  const program = join(folder, "native");
  try {
    writeFileSync(`${program}.c`, NATIVE);
    execFileSync("cc", ["-O2", `${program}.c`, "-o", program, "-lcrypto"], { stdio: "pipe" });
    return { program };
  } catch (error) {
    return {
      skipped: String((error as Error).message)
        .split("\n")
        .slice(0, 2)
        .join(": "),
    };
  }
}

/** Nanoseconds of a digest of as many bytes as a block of each algorithm has on average. */
function runNative(program: string, blockSize: number): [string, number][] {
  const families: [string, Serialise][] = [
    ["sha256", pickle],
    ["sha256_cbor", cbor],
  ];
  const out = new Uint8Array(64 + 7 * blockSize);
  const lengths = families.map(([, serialise]) => {
    let bytes = 0;
    for (let start = 0; start < TOKENS; start += blockSize)
      bytes += serialise(out, new Uint8Array(32), start, blockSize);
    return String(Math.round((bytes * blockSize) / TOKENS));
  });
  const figures = execFileSync(program, lengths, { encoding: "utf8" }).trim().split(" ").map(Number);
  return families.flatMap(([algorithm], i): [string, number][] => [
    [`${algorithm} by native SHA256()`, figures[2 * i]!],
    [`${algorithm} by native EVP_Digest`, figures[2 * i + 1]!],
  ]);
}

function summary(name: string, unit: string, figures: readonly number[]): Result {
  const sorted = figures.toSorted((a, b) => a - b);
  return { name, unit, median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! };
}

const xxh3 = await createXXHash128(0, 0);
const digests: readonly [string, "sha256" | "xxhash", Digest][] = [
  ["plain Node, latin1", "sha256", (input) => hash("sha256", input, "binary")],
  ["plain Node, buffer", "sha256", (input) => hash("sha256", input, "buffer")],
  ["hash-wasm", "xxhash", (input) => xxh3.init().update(input).digest("binary")],
];
const hashing = await loadHashing();
const folder = mkdtempSync(join(tmpdir(), "kvblock-native-"));
const native = compileNative(folder);
if ("skipped" in native) console.error(`native: skipped, ${native.skipped}`);

const results: Result[] = [];
for (const blockSize of [16, 64, 256]) {
  const bodies = new Map<string, Body>();
  const references = new Map<string, string>();
  for (const algorithm of HASH_ALGORITHMS) {
    const options: BlockHasherOptions = { algorithm, blockSize, seed: "0" };
    const hasher = await createBlockHasher(options);
    bodies.set(algorithm, () => hasher.hashTokens(tokens));
    for (const [by, family, digest] of digests) {
      if (algorithm !== family && algorithm !== `${family}_cbor`) continue;
      const serialise = algorithm === family ? pickle : cbor;
      bodies.set(`${algorithm} by ${by}`, chain(serialise, digest, hasher.noneHash, blockSize));
      references.set(`${algorithm} by ${by}`, algorithm);
    }
  }
  const own = hashing.tokenChain({ blockSize });
  bodies.set("tokens", () => own.hashTokens(tokens));
  for (const [name, algorithm] of references)
    if (!Buffer.from(bodies.get(name)!()).equals(bodies.get(algorithm)!()))
      throw new Error(`${name} gives other digests than ${algorithm}`);

  const figures = new Map<string, number[]>();
  const add = (name: string, ns: number): void => void figures.set(name, [...(figures.get(name) ?? []), ns]);
  for (let round = -3; round < ROUNDS; round++) {
    for (const [name, body] of bodies) {
      const started = performance.now();
      body();
      if (round >= 0) add(name, ((performance.now() - started) * 1e6) / (TOKENS / blockSize));
    }
    if (round >= 0 && "program" in native)
      for (const [name, ns] of runNative(native.program, blockSize)) add(name, ns);
  }

  for (const [name, ns] of figures) results.push(summary(`${name}, ${blockSize} tokens`, "ns per block", ns));
  for (const algorithm of HASH_ALGORITHMS)
    for (const name of figures.keys()) {
      if (!name.startsWith(`${algorithm} by `)) continue;
      const ratios = figures.get(name)!.map((ns, round) => ns / figures.get(algorithm)![round]!);
      results.push(summary(`${name} / ours, ${blockSize} tokens`, "times", ratios));
    }
}
rmSync(folder, { recursive: true, force: true });
report(results);
