/** The tables of what tokenizing costs. */
import { show } from "../run/figures.js";
import { type Picker, table, valuesOf } from "./figures.js";

const IMPLEMENTATIONS = [
  "kvblock",
  "@huggingface/tokenizers",
  "tokenizers (Rust)",
  "tiktoken o200k",
] as const;

export function tokenizing({ all, cell }: Picker): string {
  const name = (who: string): string => `tokenize unseen, ${who}`;
  const found = all("tokenize", name("kvblock"));
  const rows = valuesOf<string>(found, "model").flatMap((model) =>
    valuesOf<string>(found, "corpus").flatMap((corpus) =>
      valuesOf<number>(found, "tokens").map((tokens) => ({ model, corpus, tokens })),
    ),
  );
  return table(
    ["million tokens a second", ...IMPLEMENTATIONS, "kvblock again", "times stock", "times Rust"],
    rows.map((by) => [
      `${by.model}, ${by.corpus}, ${by.tokens.toLocaleString("en-US")} tokens`,
      ...IMPLEMENTATIONS.map((who) => cell("tokenize", name(who), by)),
      cell("tokenize", "tokenize again, kvblock", by),
      cell("tokenize", name("ours / stock"), by),
      cell("tokenize", name("ours / Rust"), by),
    ]),
  );
}

export function tokenizerLoading({ all, cell }: Picker): string {
  const found = all("tokenize", "load");
  return table(
    [
      "a process that has just started",
      "loaded in ms",
      "resident MB",
      "first 8,192 tokens of prose, million a second",
    ],
    valuesOf<string>(found, "model").flatMap((model) =>
      valuesOf<string>(found, "implementation").map((implementation) => [
        `${model}, ${implementation}`,
        cell("tokenize", "load", { model, implementation }),
        cell("tokenize", "load, resident memory", { model, implementation }),
        cell("tokenize", "tokenize, cold", { model, implementation, corpus: "prose" }),
      ]),
    ),
  );
}

export function chatTurns({ all, cell }: Picker): string {
  return table(
    ["a chat and one more turn", "ms to tokenize", "ms with rendering", "ms the first time"],
    valuesOf<number>(all("tokenize", "chat turn, tokenizing"), "tokens").map((tokens) => [
      `${show(tokens)} tokens`,
      cell("tokenize", "chat turn, tokenizing", { tokens }),
      cell("tokenize", "chat turn, rendering and all", { tokens }),
      cell("tokenize", "chat, first time", { tokens }),
    ]),
  );
}
