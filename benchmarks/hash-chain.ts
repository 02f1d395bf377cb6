/**
 * What does a block hash cost, by algorithm and block size, and what would it cost without the kernel? Everything of one
 * block size takes turns, so that what else the machine does befalls all alike: compare within a run.
 *
 *     npm run bench -- hash-chain [--json]
 *
 * - `plain Node`: the same chain with the serialising in JavaScript and Node's quickest call for a digest.
 * - `hash-wasm`: the same with hash-wasm's XXH3-128, one call for each block.
 * - `native`: the same in C with OpenSSL, if there are `cc` and its headers: the one-shot `SHA256()`, and `EVP_Digest`
 *   with the algorithm fetched once.
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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static uint32_t tokens[1 << 14];
static uint8_t out[1 << 17];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
static uint8_t *big(uint8_t *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); return p + 4; }
static size_t cbor(const uint8_t *parent, const uint32_t *token, int count) {
  uint8_t *p = out;
  *p++ = 0x83; *p++ = 0x58; *p++ = 32; memcpy(p, parent, 32); p += 32;
  if (count > 255) { *p++ = 0x99; *p++ = count >> 8; } else if (count > 23) *p++ = 0x98;
  *p++ = count > 23 ? count : 0x80 | count;
  for (int i = 0; i < count; i++) {
    uint32_t n = token[i];
    if (n > 65535) { *p++ = 0x1a; p = big(p, n); }
    else if (n > 255) { *p++ = 0x19; *p++ = n >> 8; *p++ = n; }
    else { if (n > 23) *p++ = 0x18; *p++ = n; }
  }
  *p++ = 0xf6;
  return p - out;
}
static size_t pickle(const uint8_t *parent, const uint32_t *token, int count) {
  uint8_t *p = out;
  memcpy(p, "\\x80\\5\\x95\\0\\0\\0\\0\\0\\0\\0\\0\\x43\\x20", 13); p += 13;
  memcpy(p, parent, 32); p += 32;
  *p++ = 0x94; *p++ = 0x28;
  for (int i = 0; i < count; i++) {
    uint32_t n = token[i];
    *p++ = n > 65535 ? 0x4a : n > 255 ? 0x4d : 0x4b;
    memcpy(p, &n, 4); p += n > 65535 ? 4 : n > 255 ? 2 : 1;
  }
  memcpy(p, "\\x74\\x94\\x4e\\x87\\x94\\x2e", 6); p += 6;
  uint32_t size = p - out - 11;
  memcpy(out + 3, &size, 4);
  return p - out;
}
int main(int argc, char **argv) {
  int count = atoi(argv[1]), blocks = (1 << 14) / count;
  EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
  uint8_t digest[32] = {0};
  uint32_t state = 42;
  for (int i = 0; i < 1 << 14; i++) tokens[i] = ((uint64_t)(state = state * 1664525 + 1013904223) * 152000) >> 32;
  for (int format = 0; format < 2; format++)
    for (int call = 0; call < 2; call++) {
      double ns = 0;
      for (int round = 0; round < 3; round++) { /* the first two warm up */
        double t = now();
        for (int b = 0; b < blocks; b++) {
          const uint32_t *token = tokens + b * count;
          size_t length = format ? cbor(digest, token, count) : pickle(digest, token, count);
          if (call) EVP_Digest(out, length, digest, NULL, md, NULL); else SHA256(out, length, digest);
        }
        ns = (now() - t) / blocks;
      }
      printf("%.1f ", ns);
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

/** Nanoseconds per block of the same chain in C. */
function runNative(program: string, blockSize: number): [string, number][] {
  const figures = execFileSync(program, [String(blockSize)], { encoding: "utf8" })
    .trim()
    .split(" ");
  const names = ["sha256", "sha256_cbor"].flatMap((algorithm) => [
    `${algorithm} by native SHA256()`,
    `${algorithm} by native EVP_Digest`,
  ]);
  return names.map((name, i): [string, number] => [name, Number(figures[i])]);
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
