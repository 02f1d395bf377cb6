/**
 * A batch's events in stretches of bounded work, and long stores in pieces.
 * @module
 */
import type { KvEvent } from "./events/index.js";

/** Blocks of a stretch: less than a millisecond of hashing and storing. */
export const BLOCKS_PER_STRETCH = 512;

/** Blocks that an event is worth, at least 1: the tokens of long blocks count too. */
export function workOf(event: KvEvent): number {
  if (event.type === "AllBlocksCleared") return 1;
  const tokens = event.type === "BlockStored" ? event.tokenIds.length : 0;
  return 1 + event.blockKeys.length / 2 + tokens / 128;
}

/** A long event as several that come to the same, one at a time, sharing its memory; any other as it is. */
export function* piecesOf(event: KvEvent): Iterable<KvEvent> {
  if (event.type === "AllBlocksCleared" || workOf(event) <= BLOCKS_PER_STRETCH) {
    yield event;
    return;
  }
  const { blockKeys } = event;
  const blocks = blockKeys.length / 2;
  const tokens = event.type === "BlockStored" ? event.tokenIds.length / blocks : 0;
  // Tokens that do not go with the blocks cannot be shared out: nothing is done for them.
  if (event.type === "BlockStored" && tokens !== 0 && tokens !== event.blockSize) {
    yield event;
    return;
  }
  const step = Math.max(1, Math.floor(BLOCKS_PER_STRETCH / (1 + tokens / 128)));
  for (let from = 0; from < blocks; from += step) {
    const to = Math.min(blocks, from + step);
    const keys = blockKeys.subarray(2 * from, 2 * to);
    if (event.type === "BlockRemoved") {
      const remainingCopies = event.remainingCopies?.subarray(from, to) ?? null;
      yield { ...event, blockKeys: keys, remainingCopies };
    } else
      yield {
        ...event,
        blockKeys: keys,
        parentKey: from === 0 ? event.parentKey : [blockKeys[2 * from - 2]!, blockKeys[2 * from - 1]!],
        tokenIds: event.tokenIds.subarray(from * tokens, to * tokens),
        extraKeys: event.extraKeys === null ? null : event.extraKeys.slice(from, to),
      };
  }
}
