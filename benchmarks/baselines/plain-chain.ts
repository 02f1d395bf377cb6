/** Block hashes as one would write them without kvblock: serialised in JavaScript, one digest call for each block. */

export type Digest = (input: Uint8Array) => Uint8Array | string;

/** Writes `[parent, tokens from start on, null]` into `out`; gives the length. */
type Serialise = (
  out: Uint8Array,
  parent: Uint8Array,
  tokens: Uint32Array,
  start: number,
  count: number,
) => number;

export const cbor: Serialise = (out, parent, tokens, start, count) => {
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

export const pickle: Serialise = (out, parent, tokens, start, count) => {
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

/** @param tokens - whole blocks */
export function plainChain(
  serialise: Serialise,
  digest: Digest,
  noneHash: Uint8Array,
  tokens: Uint32Array,
  blockSize: number,
): () => Uint8Array {
  const out = new Uint8Array(64 + 7 * blockSize);
  return () => {
    const size = noneHash.length;
    const digests = new Uint8Array((tokens.length / blockSize) * size);
    let parent = noneHash;
    for (let start = 0, at = 0; start < tokens.length; start += blockSize, at += size) {
      const value = digest(out.subarray(0, serialise(out, parent, tokens, start, blockSize)));
      if (typeof value === "string") for (let i = 0; i < size; i++) digests[at + i] = value.charCodeAt(i);
      else digests.set(value, at);
      parent = digests.subarray(at, at + size);
    }
    return digests;
  };
}
