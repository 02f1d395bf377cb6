/**
 * What does tokenizing cost, on text that a tokenizer has not seen, beside `@huggingface/tokenizers`, Hugging Face's Rust
 * `tokenizers` and `tiktoken`; what does a chat's next turn cost; what does loading a model cost?
 *
 * - `cold`: the first text of a process that has just loaded the model. Nothing is cached, and compiled is what loading runs.
 * - `unseen`: a warm process, text that it never had. The implementations take turns on the same slices.
 * - `again`: the same text once more: pieces are cached, segments are not.
 * - `hostile`: one word of random letters, one run of spaces, one sign, none of which a pattern cuts: by length, and how many
 *   times longer 16 times as much takes.
 * - `turn`: a chat of so many tokens and one turn more: rendering and all, and of that the tokenizing alone.
 *
 * `cold` and loading are by the clock, the others by CPU time.
 */
import { once } from "node:events";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { median } from "./run/measure.js";
import { forkScript } from "./run/processes.js";
import type { Run, Unit } from "./run/question.js";
import { seeded } from "./run/random.js";
import { chatMl, GrowingChat } from "./tokenize/chats.js";
import { CORPORA, type Corpus, slices } from "./tokenize/corpora.js";
import {
  type Encode,
  type Implementation,
  loadEncoder,
  MODELS,
  type Model,
  modelDirectory,
} from "./tokenize/encoders.js";
import type { Fresh, FreshArguments } from "./tokenize/fresh-process.js";

const SPEED: Unit = ["Mtokens/s", "higher"];
const RATIO: Unit = ["times", "higher"];
const STOCK = "@huggingface/tokenizers";
const RUST = "tokenizers (Rust)";
const COMPARED: readonly Implementation[] = ["kvblock", STOCK, RUST, "tiktoken o200k"];
const KINDS = Object.keys(CORPORA) as Corpus[];
/** The slow ones need this many characters to be compiled; ours to have met the words that all texts have. */
const WARM_UP = 400_000;
const TURNS = 30;
/** Characters. */
const HOSTILE = [2 ** 16, 2 ** 20];

export async function run({ full, report, progress }: Run): Promise<void> {
  const models: readonly Model[] = full ? MODELS : ["qwen3"];
  const lengths = full ? [1024, 8192, 32_768, 131_072] : [1024, 8192, 32_768];
  for (const model of models) {
    await fresh(model);
    for (const corpus of KINDS) await throughput(model, corpus);
    await hostile(model);
  }
  await turns();

  async function fresh(model: Model): Promise<void> {
    for (const corpus of full ? KINDS : KINDS.slice(0, 1)) {
      const speeds = new Map<Implementation, number>();
      for (const implementation of COMPARED.slice(0, 3)) {
        progress(`${model}, ${implementation} from cold, ${corpus}`);
        const runs: Fresh[] = [];
        for (let i = 0; i < 5; i++) runs.push(await ask({ implementation, model, corpus, tokens: 8192 }));
        const by = { model, implementation, corpus };
        const rates = runs.map(({ tokens, encodeMs }) => tokens / encodeMs / 1000);
        speeds.set(implementation, median(rates));
        report("tokenize, cold", { ...by, tokens: 8192 }, SPEED, rates);
        if (corpus !== KINDS[0]) continue;
        report(
          "load",
          { model, implementation },
          ["ms", "lower"],
          runs.map(({ loadMs }) => loadMs),
        );
        report(
          "load, resident memory",
          { model, implementation },
          ["MB", "lower"],
          runs.map(({ rssBytes }) => rssBytes / 1e6),
        );
      }
      const ours = speeds.get("kvblock")!;
      report("tokenize cold, ours / stock", { model, corpus }, RATIO, [ours / speeds.get(STOCK)!]);
      report("tokenize cold, ours / Rust", { model, corpus }, RATIO, [ours / speeds.get(RUST)!]);
    }
  }

  async function throughput(model: Model, corpus: Corpus): Promise<void> {
    const text = CORPORA[corpus]();
    for (const tokens of lengths) {
      progress(`${model}, ${corpus}, ${tokens} tokens`);
      const encoders: Encode[] = [];
      for (const implementation of COMPARED) encoders.push(await loadEncoder(implementation, model));
      for (const part of slices(text.slice(0, WARM_UP), 2048))
        for (const encode of encoders) await encode(part);
      const unseen = encoders.map((): number[] => []);
      const again: number[] = [];
      for (const slice of slices(text.slice(WARM_UP), tokens).slice(0, full ? 60 : 20)) {
        for (const [i, encode] of encoders.entries()) unseen[i]!.push(await rate(encode, slice));
        again.push(await rate(encoders[0]!, slice));
      }
      const by = { model, corpus, tokens };
      for (const [i, implementation] of COMPARED.entries())
        report(`tokenize unseen, ${implementation}`, by, SPEED, unseen[i]!);
      report("tokenize again, kvblock", by, SPEED, again);
      const [ours, stock, rust] = unseen.map(median) as [number, number, number];
      report("tokenize unseen, ours / stock", by, RATIO, [ours / stock]);
      report("tokenize unseen, ours / Rust", by, RATIO, [ours / rust]);
    }
  }

  async function hostile(model: Model): Promise<void> {
    const encode = await loadEncoder("kvblock", model);
    const random = seeded(3);
    const letters = (): string => String.fromCharCode(0x61 + Math.floor(26 * random()));
    for (const [text, make] of [
      ["word", letters],
      ["spaces", () => " "],
      ["sign", () => "="],
    ] as const) {
      progress(`${model}, hostile ${text}`);
      const times = HOSTILE.map((): number[] => []);
      for (let i = 0; i < 5; i++)
        for (const [size, characters] of HOSTILE.entries()) {
          const input = Array.from({ length: characters }, make).join("");
          times[size]!.push(await cpuMs(() => encode(input)));
        }
      for (const [size, characters] of HOSTILE.entries())
        report("tokenize hostile", { model, text, characters }, ["ms", "lower"], times[size]!);
      const [short, long] = times.map(median) as [number, number];
      report("tokenize hostile, 16 times as much", { model, text }, ["times", "lower"], [long / short]);
    }
  }

  async function turns(): Promise<void> {
    for (const tokens of full ? [1024, 4096, 16_384, 33_000, 65_536, 131_072] : [4096, 33_000]) {
      progress(`a turn of ${tokens} tokens`);
      const tokenizer = await createHuggingFaceTokenizer(modelDirectory("qwen3"));
      const textOnly = await createHuggingFaceTokenizer(modelDirectory("qwen3"));
      const chat = new GrowingChat(tokens);
      const [whole, tokenizing]: [number[], number[]] = [[], []];
      for (let turn = 0; turn < TURNS; turn++) {
        whole.push(await cpuMs(() => tokenizer.encodeChat!(chat.messages, {})));
        const text = chatMl(chat.messages);
        tokenizing.push(await cpuMs(() => textOnly.encode(text, {})));
        chat.turn();
      }
      // The first of each is the whole conversation.
      report("chat turn, rendering and all", { tokens }, ["ms", "lower"], whole.slice(1));
      report("chat turn, tokenizing", { tokens }, ["ms", "lower"], tokenizing.slice(1));
      report("chat, first time", { tokens }, ["ms", "lower"], whole.slice(0, 1));
    }
  }
}

async function rate(encode: Encode, text: string): Promise<number> {
  let length = 0;
  const ms = await cpuMs(async () => {
    ({ length } = await encode(text));
  });
  return length / ms / 1000;
}

/** Of all threads: a machine that does other work beside interrupts what takes long and not what is short. */
async function cpuMs(body: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await body();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function ask(argument: FreshArguments): Promise<Fresh> {
  const child = forkScript("benchmarks/tokenize/fresh-process.ts", argument, {
    nodeOptions: ["--expose-gc"],
  });
  let answer: Fresh | undefined;
  child.on("message", (message) => {
    answer = message as Fresh;
  });
  await once(child, "close");
  if (answer === undefined) throw new Error("fresh-process.ts ended without an answer");
  return answer;
}
