/**
 * How the decoder's readers leave early. Thrown and caught inside this room only, so they are not errors and carry
 * no stack: a hostile stream may raise many.
 * @module
 */
import type { BatchFailureReason, SkipReason } from "./event-types.js";

/** The event being read cannot be used; the bytes are sound. */
export class SkipSignal {
  readonly reason: SkipReason;
  readonly detail: string;

  constructor(reason: SkipReason, detail: string) {
    this.reason = reason;
    this.detail = detail;
  }
}

/** The bytes are broken from here on. */
export class BrokenSignal {
  readonly reason: BatchFailureReason;
  readonly offset: number;

  constructor(reason: BatchFailureReason, offset: number) {
    this.reason = reason;
    this.offset = offset;
  }
}

/** Leave the event: a field is not what any engine version sends. */
export function badField(field: string, expected: string): never {
  throw new SkipSignal("bad-field", `${field}: expected ${expected}`);
}
