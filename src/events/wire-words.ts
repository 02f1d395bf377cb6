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
  readonly bytes: DataView;
}

const PLACES = 1024;

/** Words by place. Two share one at most, so that nearly all are found at the first look. */
const BY_PLACE: readonly (readonly Word[] | undefined)[] = placed();

function placed(): (Word[] | undefined)[] {
  const byPlace: (Word[] | undefined)[] = new Array(PLACES).fill(undefined);
  for (const text of WORDS) {
    const bytes = new DataView(new TextEncoder().encode(text).buffer);
    (byPlace[placeOf(bytes, 0, text.length)] ??= []).push({ text, bytes });
  }
  return byPlace;
}

function placeOf(bytes: DataView, start: number, length: number): number {
  return (
    (Math.imul(bytes.getUint8(start), 7) +
      Math.imul(bytes.getUint8(start + length - 1), 59) +
      (length << 5)) &
    (PLACES - 1)
  );
}

/** The known word that is exactly so many bytes from `start` on, or undefined. */
export function wireWord(bytes: DataView, start: number, length: number): string | undefined {
  if (length === 0) return undefined;
  const candidates = BY_PLACE[placeOf(bytes, start, length)];
  if (candidates === undefined) return undefined;
  for (let i = 0; i < candidates.length; i++) {
    const word = candidates[i]!;
    if (word.bytes.byteLength === length && isSame(bytes, start, word.bytes, length)) return word.text;
  }
  return undefined;
}

function isSame(bytes: DataView, start: number, word: DataView, length: number): boolean {
  let at = 0;
  for (; at + 4 <= length; at += 4) if (bytes.getUint32(start + at) !== word.getUint32(at)) return false;
  for (; at < length; at++) if (bytes.getUint8(start + at) !== word.getUint8(at)) return false;
  return true;
}
