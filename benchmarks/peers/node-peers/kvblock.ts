/** kvblock, by its package name. */
import { Indexer, type KvFrame, type PodScores } from "kvblock";
import { decodeEventBatch } from "kvblock/events";
import { HASH_SEED } from "../workload.js";
import { podName, topicOf, type Workload } from "../workload-file.js";
import type { NodePeer } from "./node-peer.js";

const HASHES = {
  exact: { mode: "exact", algorithm: "sha256_cbor", seed: HASH_SEED },
  tokens: { mode: "tokens" },
} as const;

export function kvblock(mode: keyof typeof HASHES, workload: Workload): NodePeer<KvFrame, PodScores> {
  const { model } = workload;
  const pods = Array.from({ length: workload.pods }, (_, pod) => podName(pod));
  return {
    input: ({ pod, payload }, seq) => ({
      topic: topicOf(pod, model),
      seq: BigInt(seq),
      payload,
      receivedAt: 1.75e12,
    }),
    decode: ({ payload }) => decodeEventBatch(payload),
    async create() {
      const indexer = await Indexer.create({ hash: HASHES[mode], onDiagnostic: null });
      return {
        apply: (frame) => indexer.apply(frame),
        score: (tokens) => indexer.scoreTokens(tokens, { model, pods }),
        matches(scores, matches) {
          for (const [pod, name] of pods.entries()) matches[pod] = scores.get(name)?.blocks ?? 0;
        },
        close: () => indexer.close(),
      };
    },
  };
}
