/**
 * Multi-turn chats under shared system prompts.
 *
 * Eight system prompts of 512 to 4,096 tokens, the n-th a 1/n as popular as the first. A chat's turns ask 30 to 400
 * tokens and are answered with 40 to 300; after each, one in five ends. Sixteen chats for each pod are under way at a
 * time and take turns by chance. A chat stays with one pod, but for one turn in ten.
 */
import { between, seeded, tokensOf } from "../run/random.js";
import type { WorkItem } from "./requests.js";

const SYSTEM_PROMPTS = 8;
const CHATS_PER_POD = 16;
/** Engines refuse what is longer than their model; the chat ends. */
const LONGEST_PROMPT = 16_384;

interface Chat {
  readonly pod: number;
  text: Uint32Array;
}

export function* chats(seed: number, pods: number): Generator<WorkItem> {
  const random = seeded(seed);
  const systems = Array.from({ length: SYSTEM_PROMPTS }, () => tokensOf(random, between(random, 512, 4096)));
  const popularity = systems.map((_, i) => 1 / (i + 1));
  const total = popularity.reduce((sum, share) => sum + share, 0);
  const pickSystem = (): Uint32Array => {
    let left = random() * total;
    return systems[popularity.findIndex((share) => (left -= share) <= 0)] ?? systems[0]!;
  };
  const begin = (): Chat => ({ pod: between(random, 0, pods - 1), text: pickSystem() });
  const open = Array.from({ length: CHATS_PER_POD * pods }, begin);
  for (;;) {
    const turn = between(random, 0, open.length - 1);
    const chat = open[turn]!;
    const prompt = joined(chat.text, tokensOf(random, between(random, 30, 400)));
    const output = tokensOf(random, between(random, 40, 300));
    chat.text = joined(prompt, output);
    yield { pod: random() < 0.1 ? between(random, 0, pods - 1) : chat.pod, prompt, output };
    if (random() < 0.2 || chat.text.length > LONGEST_PROMPT) open[turn] = begin();
  }
}

/** Nothing but new prompts of `tokens` under one system prompt: every event stores as many blocks. */
export function* freshPrompts(seed: number, pods: number, tokens: number): Generator<WorkItem> {
  const random = seeded(seed);
  const system = tokensOf(random, 2048);
  const none = new Uint32Array(0);
  for (let pod = 0; pod < pods; pod++) yield { pod, prompt: system, output: none };
  for (let turn = 0; ; turn++)
    yield { pod: turn % pods, prompt: joined(system, tokensOf(random, tokens)), output: none };
}

function joined(head: Uint32Array, tail: Uint32Array): Uint32Array {
  const both = new Uint32Array(head.length + tail.length);
  both.set(head);
  both.set(tail, head.length);
  return both;
}
