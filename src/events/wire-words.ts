/**
 * The strings that engines write in every event, found by their bytes so that the hot path decodes and allocates none.
 * @module
 */

/** Type names, field names, media and attention kinds: vLLM `kv_events.py`, `kv_cache_interface.py`; SGLang's media. */
const WORDS: readonly string[] = [
  ...["BlockStored", "BlockRemoved", "AllBlocksCleared"],
  ...["type", "ts", "events", "data_parallel_rank", "block_hashes", "parent_block_hash", "token_ids"],
  ...["block_size", "lora_id", "medium", "lora_name", "extra_keys", "group_idx", "kv_cache_spec_kind"],
  ...["kv_cache_spec_sliding_window", "locality", "ownership", "session_id", "cache_salt"],
  ...["GPU", "CPU", "STORAGE", "FS", "OBJ", "CPU_PINNED", "DISK", "EXTERNAL", "LOCAL", "REMOTE"],
  ...["full_attention", "mla_attention", "sliding_window", "sliding_window_mla", "mamba"],
  ...["chunked_local_attention", "sink_full_attention", "encoder_only_attention", "cross_attention"],
];

interface Word {
  readonly text: string;
  readonly bytes: Uint8Array;
}

/** By length in bytes: at most five words share one. */
const BY_LENGTH: readonly (readonly Word[])[] = Array.from(
  { length: 1 + WORDS.reduce((longest, word) => Math.max(longest, word.length), 0) },
  (_, length) =>
    WORDS.filter((word) => word.length === length).map((text) => ({
      text,
      bytes: new TextEncoder().encode(text),
    })),
);

/** The known word that is exactly `bytes[start … end)`, or undefined. */
export function wireWord(bytes: Uint8Array, start: number, end: number): string | undefined {
  const candidates = BY_LENGTH[end - start];
  if (candidates === undefined) return undefined;
  for (const word of candidates) {
    let at = start;
    while (at < end && bytes[at] === word.bytes[at - start]) at++;
    if (at === end) return word.text;
  }
  return undefined;
}
