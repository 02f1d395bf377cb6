/**
 * Reading what may be long in steps, so that no payload holds the event loop.
 *
 * A reader of something short reads it; of something long it returns the **rest** of its work, a generator that pauses
 * after each `stepBytes` of the payload and says how far it is. So what is short, nearly everything, costs no generator.
 * @module
 */
import type { MsgpackCursor } from "./msgpack-cursor.js";

/** What is left to do; pauses with the offset reached. */
export type Rest<T = void> = Generator<number, T>;

/** Values that are passed over, or array elements that are read, between two looks at whether to pause: tens of microseconds. */
export const STRETCH = 8192;

/** Whether it is time to pause; then {@link pause}, which gives the offset. */
export function isDue(cursor: MsgpackCursor): boolean {
  return cursor.at >= cursor.pauseAt;
}

export function pause(cursor: MsgpackCursor): number {
  cursor.pauseAt = cursor.at + cursor.stepBytes;
  return cursor.at;
}

/** Go back to an offset read before. */
export function rewind(cursor: MsgpackCursor, at: number): void {
  cursor.at = at;
  pause(cursor);
}

/** Pass over so many values: the rest, if that is long. */
export function passOver(cursor: MsgpackCursor, values = 1): Rest | undefined {
  const left = cursor.skip(values, STRETCH);
  return left === 0 ? undefined : passRest(cursor, left);
}

function* passRest(cursor: MsgpackCursor, left: number): Rest {
  for (let pending = left; pending > 0; pending = cursor.skip(pending, STRETCH))
    if (isDue(cursor)) yield pause(cursor);
}

/** Reads on into something, from a place to another. */
type Fill<T> = (cursor: MsgpackCursor, into: T, from: number, to: number) => void;

/** Fill something up to `end`, a stretch at a time: the rest, if that is more than one. */
export function inStretches<T>(
  cursor: MsgpackCursor,
  into: T,
  end: number,
  stretch: number,
  fill: Fill<T>,
): Rest | undefined {
  fill(cursor, into, 0, Math.min(end, stretch));
  return end > stretch ? fillRest(cursor, into, end, stretch, fill) : undefined;
}

function* fillRest<T>(cursor: MsgpackCursor, into: T, end: number, stretch: number, fill: Fill<T>): Rest {
  for (let from = stretch; from < end; from += stretch) {
    if (isDue(cursor)) yield pause(cursor);
    fill(cursor, into, from, Math.min(end, from + stretch));
  }
}
