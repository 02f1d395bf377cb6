/** A whole engine seen from outside: real tokenizer, HTTP requests, and the events that they cause on its sockets. */
import { decode } from "@msgpack/msgpack";
import { createBlockHasher } from "kvblock/hash";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Dealer, Subscriber } from "zeromq";
import { type Engine, type EngineOptions, startEngine } from "../../examples/engine/engine.js";
import { qwen3Directory } from "../../examples/engine/qwen3.js";
import { decodeTokens, type EngineTokenizer, loadTokenizer } from "../../examples/engine/tokenizer.js";

const MODEL = "Qwen/Qwen3-0.6B";
const PARAGRAPH =
  "Lorem ipsum dolor sit amet, consectetur adipiscing elit. Sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur. Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum.";
const PROMPT = `${PARAGRAPH} ${PARAGRAPH}`;

let tokenizer: EngineTokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer(qwen3Directory());
});

const open: { close(): void | Promise<void> }[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close();
});

async function start(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startEngine({
    model: MODEL,
    tokenizer,
    blockSize: 64,
    hashAlgorithm: "sha256_cbor",
    seed: "42",
    maxModelLen: 4096,
    timing: { requestOverheadMs: 0, prefillTokensPerSecond: Number.POSITIVE_INFINITY, decodeStepMs: 0 },
    ...options,
  });
  open.push(engine);
  return engine;
}

async function complete(engine: Engine, body: object) {
  const response = await fetch(`${engine.url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ model: MODEL, ...body }),
  });
  expect(response.status).toBe(200);
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  return (await response.json()) as any;
}

/** Everything that the engine has published, from its replay socket. */
async function published(engine: Engine): Promise<{ topic: string; batch: [number, unknown[], number] }[]> {
  const dealer = new Dealer({ linger: 0, receiveTimeout: 5000 });
  open.push(dealer);
  dealer.connect(engine.replayEndpoint!);
  await dealer.send([new Uint8Array(0), new Uint8Array(8)]);
  const batches = [];
  for (let seq = 0n; ; seq++) {
    const parts = await dealer.receive();
    const payload = parts.at(-1)!;
    if (payload.length === 0) return batches;
    expect(parts.at(-2)!.readBigUInt64BE()).toBe(seq);
    const topic = parts.length === 4 ? parts[1]!.toString() : "";
    batches.push({ topic, batch: decode(payload, { useBigInt64: true }) as [number, unknown[], number] });
  }
}

/** Low 64 bits of each block hash of a prompt. */
async function hashes(tokens: readonly number[], seed = "42"): Promise<bigint[]> {
  const hasher = await createBlockHasher({ algorithm: "sha256_cbor", blockSize: 64, seed });
  const digests = Buffer.from(hasher.hashTokens(tokens));
  return Array.from({ length: digests.length / 32 }, (_, block) => digests.readBigUInt64BE(block * 32 + 24));
}

describe("the quickstart's request, twice", () => {
  it("reuses 128 of 192 tokens, and announces three blocks, then a copy of the last one", async () => {
    const engine = await start();
    const before = Date.now() / 1000;
    const body = { prompt: PROMPT, max_tokens: 50 };
    const first = await complete(engine, body);
    expect(first.usage).toEqual({
      prompt_tokens: 192,
      completion_tokens: 50,
      total_tokens: 242,
      prompt_tokens_details: null,
    });
    expect(first.choices[0].text.startsWith(" Lorem ipsum dolor sit amet, consectetur")).toBe(true);
    const tokens = Array.from(await tokenizer.encode(PROMPT, {}));
    expect(engine.blocks.peek({ tokens })).toBe(2);
    const second = await complete(engine, body);
    expect(second.usage.prompt_tokens_details).toEqual({ cached_tokens: 128 });
    expect(second.choices[0].text).toBe(first.choices[0].text);

    const [a, b, c] = await hashes(tokens);
    const stored = {
      type: "BlockStored",
      block_size: 64,
      lora_id: null,
      medium: "GPU",
      lora_name: null,
      group_idx: 0,
      kv_cache_spec_kind: "full_attention",
    };
    const batches = await published(engine);
    expect(batches.map(({ batch: [, events, rank] }) => ({ events, rank }))).toEqual([
      {
        events: [
          {
            ...stored,
            block_hashes: [a, b, c],
            parent_block_hash: null,
            token_ids: tokens,
            extra_keys: [null, null, null],
          },
        ],
        rank: 0,
      },
      {
        events: [
          {
            ...stored,
            block_hashes: [c],
            parent_block_hash: b,
            token_ids: tokens.slice(128),
            extra_keys: [null],
          },
        ],
        rank: 0,
      },
    ]);
    expect(new Set(batches.map(({ topic }) => topic))).toEqual(new Set([`kv@${engine.pod}@${MODEL}`]));
    expect(engine.pod).toBe(new URL(engine.url).host);
    for (const { batch } of batches) {
      expect(batch[0]).toBeGreaterThanOrEqual(before);
      expect(batch[0]).toBeLessThanOrEqual(Date.now() / 1000);
    }
  });

  it("answers at /tokenize with the tokens that it hashes", async () => {
    const engine = await start();
    const response = await fetch(`${engine.url}/tokenize`, {
      method: "POST",
      body: JSON.stringify({ prompt: PROMPT }),
    });
    expect(await response.json()).toMatchObject({
      count: 192,
      tokens: Array.from(await tokenizer.encode(PROMPT, {})),
    });
  });
});

describe("what an engine is told changes its events", () => {
  it("generated tokens fill blocks too, each in the batch of its step", async () => {
    const engine = await start({ blockSize: 16 });
    await complete(engine, { prompt: PROMPT, max_tokens: 40 });
    const batches = await published(engine);
    // 192 prompt tokens, and 39 of the 40 generated ones: the last is never computed.
    expect(batches.map(({ batch }) => (batch[1][0] as { block_hashes: [] }).block_hashes.length)).toEqual([
      12, 1, 1,
    ]);
  });

  it("a random root, as without PYTHONHASHSEED, gives each engine hashes of its own", async () => {
    const roots = [];
    for (const engine of [await start({ seed: undefined }), await start({ seed: undefined })]) {
      await complete(engine, { prompt: PROMPT, max_tokens: 1 });
      roots.push((await published(engine))[0]!.batch[1]);
    }
    expect(roots[0]).not.toEqual(roots[1]);
  });

  it("an early era sends arrays without a topic in its replays, whole digests when asked", async () => {
    const engine = await start({ era: "A2", intHashes: false, dataParallelRank: 3 });
    await complete(engine, { prompt: PROMPT, max_tokens: 1 });
    const [{ topic, batch }] = (await published(engine)) as [
      { topic: string; batch: [number, unknown[][], number] },
    ];
    expect(topic).toBe("");
    expect(batch[2]).toBe(3);
    const [type, digests, parent, tokens, ...rest] = batch[1][0]!;
    expect([type, parent, ...rest]).toEqual(["BlockStored", null, 64, null, "GPU"]);
    expect(tokens).toHaveLength(192);
    expect((digests as Uint8Array[]).map((digest) => Buffer.from(digest).readBigUInt64BE(24))).toEqual(
      await hashes(tokens as number[]),
    );
  });

  it("an adapter's name, its number and the salt are in the event and in the hash", async () => {
    const engine = await start({ loras: ["first", "second"] });
    await complete(engine, { model: "second", prompt: PROMPT, max_tokens: 1, cache_salt: "tenant" });
    const stored = (await published(engine))[0]!.batch[1][0] as {
      block_hashes: bigint[];
      token_ids: number[];
    };
    expect(stored).toMatchObject({
      lora_id: 2,
      lora_name: "second",
      extra_keys: [["second", "tenant"], ["second"], ["second"]],
    });
    expect(stored.block_hashes).not.toEqual(await hashes(stored.token_ids));
  });

  it("a reset is announced with the next step's events, before what that step stores", async () => {
    const engine = await start();
    await complete(engine, { prompt: PROMPT, max_tokens: 1 });
    await fetch(`${engine.url}/reset_prefix_cache`, { method: "POST" });
    expect(await published(engine)).toHaveLength(1);
    await complete(engine, { prompt: PROMPT, max_tokens: 1 });
    const types = (await published(engine))[1]!.batch[1].map((event) => (event as { type: string }).type);
    expect(types).toEqual(["AllBlocksCleared", "BlockStored"]);
  });
});

describe("live events", () => {
  /** Subscriptions take a moment to arrive: requests go on until one is answered by an event. */
  async function firstMessage(engine: Engine, sub: Subscriber): Promise<Buffer[]> {
    const received = sub.receive();
    let arrived = false;
    received.finally(() => {
      arrived = true;
    });
    for (let n = 0; !arrived; n++) await complete(engine, { prompt: `${n} ${PROMPT}`, max_tokens: 1 });
    return received;
  }

  it("go to a subscriber that connects, under the empty topic when asked", async () => {
    const engine = await start({ topic: "empty" });
    const sub = new Subscriber({ receiveTimeout: 10_000 });
    open.push(sub);
    sub.subscribe();
    sub.connect(engine.eventsEndpoint);
    const [topic, seq, payload] = await firstMessage(engine, sub);
    expect(topic).toHaveLength(0);
    expect(seq).toHaveLength(8);
    expect(decode(payload!, { useBigInt64: true })).toMatchObject([
      expect.any(Number),
      [{ type: "BlockStored" }],
      0,
    ]);
  });

  it("go to a subscriber that has bound its socket, as the quickstart's scheduler does", async () => {
    const sub = new Subscriber({ receiveTimeout: 10_000 });
    open.push(sub);
    sub.subscribe("kv@decode-1@");
    await sub.bind("tcp://127.0.0.1:*");
    const engine = await start({ eventsEndpoint: sub.lastEndpoint!, topicPod: "decode-1", replayPort: null });
    expect(engine.replayEndpoint).toBeNull();
    const [topic] = await firstMessage(engine, sub);
    expect(topic!.toString()).toBe(`kv@decode-1@${MODEL}`);
  });
});

describe("the tokenizer", () => {
  it.each(["Grüße, 世界! 👩‍👩‍👧 \u0000\n\t", "naïve café — ½ ≠ ⅓", "<think>a</think> <|im_start|>", PROMPT])(
    "writes back what it read: %j",
    async (text) => {
      const tokens = await tokenizer.encode(text, {});
      expect(decodeTokens(tokenizer, tokens)).toBe(text.replaceAll("<|im_start|>", ""));
    },
  );

  it("chats end at the end of a turn", async () => {
    const engine = await start();
    const response = await fetch(`${engine.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Say exactly this." }] }),
    });
    expect(await response.json()).toMatchObject({
      choices: [{ message: { content: "Say exactly this." }, finish_reason: "stop" }],
    });
  });
});
