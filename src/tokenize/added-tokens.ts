/**
 * Added tokens (`<|im_start|>`): hard boundaries, found in the text before anything else is done to it.
 *
 * The leftmost match counts, and the longest there. Source: Hugging Face tokenizers
 * `tokenizer/added_vocabulary.rs` (`find_matches`).
 * @module
 */

/** An entry of `added_tokens` in tokenizer.json. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Not inside a word. */
  readonly single_word?: boolean;
  /** Takes the white space before it. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** Looked for in the normalized text. */
  readonly normalized?: boolean;
  readonly special?: boolean;
}

/** Tokens that are special are looked for as they are, unless the file says otherwise. */
export function isNormalized(token: AddedToken): boolean {
  return token.normalized ?? token.special !== true;
}

const ENDS_IN_WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const BEGINS_WITH_WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const LEADING_SPACE = /^\p{White_Space}+/u;
const SPACE = /^\p{White_Space}$/u;

/** A set of added tokens to split texts at. */
export class AddedTokens {
  readonly #tokens = new Map<string, AddedToken>();
  readonly #pattern: RegExp | undefined;

  /** `contents` are the texts to look for, where they are not the tokens' own (normalized ones). */
  constructor(
    tokens: readonly AddedToken[],
    content: (token: AddedToken) => string = (token) => token.content,
  ) {
    for (const token of tokens) if (content(token) !== "") this.#tokens.set(content(token), token);
    if (this.#tokens.size > 0) this.#pattern = new RegExp(alternatives(this.#tokens.keys()), "g");
  }

  /** Hand over a text's segments between added tokens, never empty, and the ids of those, in order. */
  split(text: string, onSegment: (segment: string) => void, onToken: (id: number) => void): void {
    const pattern = this.#pattern;
    let done = 0;
    if (pattern !== undefined) {
      pattern.lastIndex = 0;
      for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
        const token = this.#tokens.get(match[0])!;
        let start = match.index;
        let end = start + match[0].length;
        if (token.single_word === true && isInWord(text, start, end)) continue;
        if (token.lstrip === true) start = Math.max(done, beginOfSpace(text, start));
        if (token.rstrip === true) end += LEADING_SPACE.exec(text.slice(end))?.[0].length ?? 0;
        if (done < start) onSegment(text.slice(done, start));
        onToken(token.id);
        done = end;
      }
    }
    if (done < text.length) onSegment(done === 0 ? text : text.slice(done));
  }
}

function isInWord(text: string, start: number, end: number): boolean {
  return (
    ENDS_IN_WORD.test(text.slice(Math.max(0, start - 2), start)) ||
    BEGINS_WITH_WORD.test(text.slice(end, end + 2))
  );
}

/** Where the white space before an index begins; no white space lies outside the basic plane. */
function beginOfSpace(text: string, end: number): number {
  let at = end;
  while (at > 0 && SPACE.test(text[at - 1]!)) at--;
  return at;
}

interface Trie {
  readonly children: Map<string, Trie>;
  ends: boolean;
}

/** One pattern for all: shared beginnings are tried once, and the longer of two is tried first. */
function alternatives(contents: Iterable<string>): string {
  const root: Trie = { children: new Map(), ends: false };
  for (const content of contents) {
    let node = root;
    for (let i = 0; i < content.length; i++) {
      const unit = content[i]!;
      let child = node.children.get(unit);
      if (child === undefined) node.children.set(unit, (child = { children: new Map(), ends: false }));
      node = child;
    }
    node.ends = true;
  }
  return source(root);
}

function source({ children, ends }: Trie): string {
  const branches = [...children].map(([unit, child]) => `\\u${hex(unit)}${source(child)}`);
  if (branches.length === 0) return "";
  if (branches.length === 1 && !ends) return branches[0]!;
  return `(?:${branches.join("|")})${ends ? "?" : ""}`;
}

function hex(unit: string): string {
  return unit.charCodeAt(0).toString(16).padStart(4, "0");
}
