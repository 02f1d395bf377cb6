/**
 * The mistakes that end in zero hits in the field, made for real, and the diagnostic that each must raise.
 * @module
 */
import type { DiagnosticCode, HashAlgorithm, HashOptions } from "kvblock";

export const MISTAKES = ["seed", "block-size", "salt", "pod-name"] as const;

export type MistakeName = (typeof MISTAKES)[number];

/** How a deployment differs from one that works. */
export interface Mistake {
  /** What was done wrong, in one sentence. */
  readonly story: string;
  readonly diagnostic: DiagnosticCode;
  /** Blocks are still found, because the library goes by what the engines say. */
  readonly harmless: boolean;
  /** The gateway's hash option, in place of the right one. */
  readonly hash?: HashOptions | undefined;
  /** The gateway's block size. */
  readonly blockSize?: number | undefined;
  /** A sidecar at each engine adds this salt. */
  readonly hiddenSalt?: string | undefined;
  /** Topics name pods so, whatever the gateway calls them. */
  readonly topicPod?: ((index: number) => string) | undefined;
}

/**
 * @param algorithm - the engines' own
 * @param hash - what the gateway is rightly told
 */
export function mistake(name: MistakeName, algorithm: HashAlgorithm, hash: HashOptions): Mistake {
  switch (name) {
    case "seed":
      return {
        story: "The gateway is told another PYTHONHASHSEED than the engines have.",
        diagnostic: "hash-not-reproduced",
        harmless: false,
        hash: { mode: "exact", algorithm, seed: "wrong" },
      };
    case "block-size":
      return {
        story: "The gateway is told blocks of 16 tokens; the engines' are larger.",
        diagnostic: "block-size-mismatch",
        harmless: true,
        blockSize: 16,
      };
    case "salt":
      return {
        story: "A sidecar at each engine adds a cache_salt that the gateway never sees.",
        diagnostic: "salt-not-passed",
        harmless: false,
        hash,
        hiddenSalt: "tenant-1",
      };
    case "pod-name":
      return {
        story: "The gateway names pods by ip:port, the events' topics by their Kubernetes names.",
        diagnostic: "pods-unknown",
        harmless: false,
        topicPod: (index) => `vllm-${index}`,
      };
  }
}
