/**
 * Seeded traffic of several kinds through model engines, heard by a router that joined late and scores a part of the
 * prompts: what of the reusable blocks it sees, and what it claims beyond them.
 * @module
 */
import { Indexer, type IndexerOptions } from "kvblock";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import { seeded } from "../support/random.js";
import { EngineLink, type LinkOptions } from "./engine-link.js";
import { scoreRequest } from "./traffic.js";

/** Weights of the kinds of requests. */
export interface Mix {
  /** Unique questions under a few shared system prompts. */
  systems?: number;
  /** Conversations of many turns under the same system prompts. */
  chats?: number;
  /** Shared documents under different system prompts of whole blocks, half of them with one of a few stock questions. */
  documents?: number;
  /** Shared documents and stock questions of several salted tenants: nothing but the first block's salt differs. */
  tenants?: number;
}

export interface OrphanTraffic {
  seed: number;
  mix: Mix;
  /** The part of the requests that this router scores; another one sends the rest. Default 1. */
  scored?: number;
  /** Measured requests. Default 600. */
  requests?: number;
  link?: LinkOptions;
  /** Default tokens mode. */
  hash?: IndexerOptions["hash"];
}

/** Blocks, summed over the measured requests and the pods. */
export interface Reached {
  reusable: number;
  seen: number;
  overClaimed: number;
  requests: number;
}

const BLOCK = 16;
const CACHE_BLOCKS = 1500;
const PODS = 2;

export async function runOrphanTraffic(
  options: OrphanTraffic,
): Promise<{ reached: Reached; indexer: Indexer }> {
  const { seed, mix, scored = 1, requests = 600 } = options;
  const random = seeded(seed);
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  // The lower of two: some are much more popular than others.
  const popular = <T>(from: readonly T[]): T => from[Math.min(upTo(from.length - 1), upTo(from.length - 1))]!;
  const text = (length: number): number[] => Array.from({ length }, () => upTo(50_000));

  const systems = Array.from({ length: 8 }, () => text(100 + upTo(300)));
  const blockSystems = Array.from({ length: 4 }, (_, i) => text(BLOCK * (6 + (i >> 1))));
  const documents = Array.from({ length: 16 }, () => text(BLOCK * (10 + upTo(20)) + upTo(15)));
  const questions = [[], text(6), text(20), text(45)];
  const salts = ["tenant-a", "tenant-b", "tenant-c"];
  const turn = text(5);
  const chats: number[][] = [];

  const kinds = Object.entries(mix) as [keyof Mix, number][];
  const total = kinds.reduce((sum, [, weight]) => sum + weight, 0);
  const kind = (): keyof Mix => {
    let dice = random() * total;
    return kinds.find(([, weight]) => (dice -= weight) < 0)![0];
  };
  const request = (): { request: CacheRequest; chat: number | undefined } => {
    switch (kind()) {
      case "systems":
        return {
          request: { tokens: [...popular(systems), ...text(10 + upTo(200)), ...turn] },
          chat: undefined,
        };
      case "chats": {
        const at = upTo(29);
        const chat = chats[at];
        const old = chat === undefined || chat.length > 2500 ? popular(systems) : chat;
        return { request: { tokens: [...old, ...text(3 + upTo(60)), ...turn] }, chat: at };
      }
      case "documents": {
        const question = random() < 0.5 ? pick(questions) : text(upTo(80));
        return {
          request: { tokens: [...pick(blockSystems), ...popular(documents), ...question] },
          chat: undefined,
        };
      }
      case "tenants": {
        const tokens = [...systems[0]!, ...popular(documents), ...pick(questions)];
        return { request: { tokens, cacheSalt: pick(salts) }, chat: undefined };
      }
    }
  };

  const indexer = await Indexer.create({ hash: options.hash ?? { mode: "tokens" }, onDiagnostic: null });
  const links = await Promise.all(
    Array.from({ length: PODS }, (_, i) =>
      EngineLink.start({ blockSize: BLOCK, numBlocks: CACHE_BLOCKS, pod: `pod-${i}`, ...options.link }),
    ),
  );
  const reached: Reached = { reusable: 0, seen: 0, overClaimed: 0, requests: 0 };
  const running: { link: EngineLink; id: string; chat: number | undefined; tokens: number[] }[] = [];
  let phase: "unheard" | "warm-up" | "measured" = "unheard";
  let computed = 0;

  const publish = (): void => {
    for (const link of links) {
      const frame = link.frame();
      if (frame !== undefined && phase !== "unheard") indexer.apply(frame);
    }
  };
  const finish = (): void => {
    const [job] = running.splice(upTo(running.length - 1), 1);
    if (job === undefined) return;
    const generated = text(upTo(80));
    job.link.cache.append(job.id, generated);
    job.link.cache.finish(job.id);
    if (job.chat !== undefined) chats[job.chat] = [...job.tokens, ...generated];
    publish();
  };

  for (let number = 0; reached.requests < requests; number++) {
    const next = request();
    const { tokens } = next.request;
    if (phase !== "unheard" && random() < scored) {
      const scores = indexer.scoreTokens(tokens, scoreRequest("base", next.request));
      if (phase === "measured") {
        reached.requests++;
        for (const link of links) {
          const blocks = scores.get(link.pod)?.blocks ?? 0;
          const truth = link.peek(next.request);
          reached.reusable += truth;
          reached.seen += Math.min(truth, blocks);
          reached.overClaimed += Math.max(0, blocks - truth);
        }
      }
    }
    const link = next.chat !== undefined && random() < 0.8 ? links[next.chat % PODS]! : pick(links);
    const id = `job ${number}`;
    // Long prompts are computed in chunks, each a store of its own.
    const chunk = random() < 0.3 ? 256 : undefined;
    const started = link.cache.schedule({ ...link.request(next.request), id }, chunk);
    if (started === null) link.cache.finish(id);
    else {
      computed += Math.floor((tokens.length - started.cachedTokens) / BLOCK);
      while (link.cache.pendingTokens(id) > 0 && link.cache.compute(id, 256)) if (random() < 0.5) publish();
      running.push({ link, id, chat: next.chat, tokens: [...tokens] });
    }
    publish();
    while (running.length > 6 || (running.length > 0 && (started === null || random() < 0.4))) finish();
    if (phase === "unheard" && computed > 2 * PODS * CACHE_BLOCKS) {
      phase = "warm-up";
      computed = 0;
    } else if (phase === "warm-up" && computed > PODS * CACHE_BLOCKS) phase = "measured";
  }
  return { reached, indexer };
}
