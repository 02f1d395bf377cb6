/**
 * UTF-8 as Python's `str.encode("utf-8", "surrogatepass")` writes it: a lone surrogate becomes three bytes, where
 * `TextEncoder` would put U+FFFD.
 * @module
 */

/** Bytes that {@link writeUtf8} writes for `text`. */
export function utf8Length(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) length += 1;
    else if (unit < 0x800) length += 2;
    else if (isPair(text, i, unit)) {
      length += 4;
      i++;
    } else length += 3;
  }
  return length;
}

/** Write `text` at `at`; the caller has made room for {@link utf8Length}. Returns the next free offset. */
export function writeUtf8(text: string, out: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      out[at++] = unit;
    } else if (unit < 0x800) {
      out[at++] = 0xc0 | (unit >> 6);
      out[at++] = 0x80 | (unit & 0x3f);
    } else if (isPair(text, i, unit)) {
      const point = 0x10000 + ((unit - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00);
      out[at++] = 0xf0 | (point >> 18);
      out[at++] = 0x80 | ((point >> 12) & 0x3f);
      out[at++] = 0x80 | ((point >> 6) & 0x3f);
      out[at++] = 0x80 | (point & 0x3f);
    } else {
      out[at++] = 0xe0 | (unit >> 12);
      out[at++] = 0x80 | ((unit >> 6) & 0x3f);
      out[at++] = 0x80 | (unit & 0x3f);
    }
  }
  return at;
}

/** Whether the unit at `i` is a high surrogate and the next one its low surrogate. */
function isPair(text: string, i: number, unit: number): boolean {
  if (unit < 0xd800 || unit > 0xdbff) return false;
  const next = text.charCodeAt(i + 1); // NaN past the end: not in the range
  return next >= 0xdc00 && next <= 0xdfff;
}
