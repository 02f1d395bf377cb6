/**
 * Seeded random traffic through model engines, each step's frames applied, and every prediction compared with what the
 * engine would reuse at that instant.
 * @module
 */
import type { Indexer, KvFrame, PodScore, ScoreRequest } from "kvblock";
import type { CacheRequest } from "../../examples/engine/block-manager.js";
import { seeded } from "../support/random.js";
import type { EngineLink } from "./engine-link.js";

/** What a prompt may carry beside its tokens. */
export type ExtraKind = "lora" | "salt" | "image";

export interface TrafficOptions {
  seed: number;
  steps?: number;
  /** What prompts may carry beside their tokens. Default nothing. */
  with?: readonly ExtraKind[];
  /** Now and then an engine process is restarted. Default false. */
  restarts?: boolean;
  /** How frames reach the indexer. Default: each at once. */
  deliver?: (frame: KvFrame) => void;
  /** What the predictions of a step are held to. */
  check: (predicted: PodScore, reusable: number, where: string) => void;
}

interface Job {
  readonly link: EngineLink;
  readonly id: string;
  readonly request: CacheRequest;
}

const LORAS = ["sql-lora", "chat-lora"];
const SALTS = ["tenant-a", "tenant-b"];
const IMAGES = ["img-1", "img-2"];

/** A prompt of one of a few families with long shared prefixes, so that hits, duplicates and evictions all happen. */
export function randomPrompt(random: () => number, extras: readonly ExtraKind[] = []): CacheRequest {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  const family = 1000 * upTo(2);
  const tokens = Array.from({ length: 4 + upTo(36) }, (_, i) => family + i);
  // A prompt of whole blocks has its last block computed each time: duplicate copies.
  if (random() < 0.5) tokens.length -= tokens.length % 4;
  else for (let n = upTo(6); n > 0; n--) tokens.push(9000 + upTo(1));
  const wants = (kind: ExtraKind): boolean => extras.includes(kind) && random() < 0.35;
  const image = wants("image") && tokens.length > 6;
  const offset = image ? upTo(tokens.length - 6) : 0;
  return {
    tokens,
    ...(wants("lora") ? { loraName: pick(LORAS) } : {}),
    ...(wants("salt") ? { cacheSalt: pick(SALTS) } : {}),
    ...(image ? { multimodal: [{ id: pick(IMAGES), offset, length: 1 + upTo(5) }] } : {}),
  };
}

/** Drive the engines; resolves nothing and throws what `check` throws. */
export function runTraffic(indexer: Indexer, links: readonly EngineLink[], options: TrafficOptions): void {
  const random = seeded(options.seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const upTo = (n: number): number => Math.floor(random() * (n + 1));
  const deliver = options.deliver ?? ((frame: KvFrame) => indexer.apply(frame));
  let jobs: Job[] = [];
  const recent: CacheRequest[] = [];

  const prompt = (): CacheRequest => randomPrompt(random, options.with);

  const step = (number: number): void => {
    const dice = random();
    const job = jobs.length > 0 ? pick(jobs) : undefined;
    if (dice < 0.4 || job === undefined) {
      const link = pick(links);
      const id = `job ${number}`;
      // Half of the time a follow-up of what was asked before, as conversations are.
      const request = recent.length > 0 && random() < 0.5 ? pick(recent) : prompt();
      recent.push(request);
      if (recent.length > 12) recent.shift();
      const part = random() < 0.3 ? 1 + upTo(12) : undefined;
      if (link.cache.schedule({ ...link.request(request), id }, part) === null) link.cache.finish(id);
      else jobs.push({ link, id, request });
    } else if (dice < 0.65)
      job.link.cache.append(
        job.id,
        Array.from({ length: upTo(6) }, () => 9000 + upTo(1)),
      );
    else if (dice < 0.95) {
      job.link.cache.finish(job.id);
      jobs = jobs.filter((other) => other !== job);
    } else {
      const link = pick(links);
      if (options.restarts === true && random() < 0.5) {
        jobs = jobs.filter((other) => other.link !== link);
        link.cache.takeEvents();
        link.restart();
      } else link.cache.reset();
    }
  };

  for (let number = 0; number < (options.steps ?? 250); number++) {
    step(number);
    for (const link of links) {
      const frame = link.frame();
      if (frame !== undefined) deliver(frame);
    }
    for (const request of [...recent.slice(-3), prompt()]) {
      const scores = indexer.scoreTokens(request.tokens, scoreRequest(links[0]!.model, request));
      for (const link of links) {
        const predicted = scores.get(link.pod, link.rank);
        if (predicted === undefined || !link.hasSpoken) continue;
        const where = `seed ${options.seed}, step ${number}, ${link.pod} rank ${link.rank}`;
        options.check(predicted, link.peek(request), where);
      }
    }
  }
}

export function scoreRequest(model: string, request: CacheRequest): ScoreRequest {
  const { loraName, cacheSalt, multimodal } = request;
  return { model, loraName, cacheSalt, multimodal };
}
