/**
 * What goes between a pool and its threads. Errors go as plain data: a structured clone loses their class and code.
 * @module
 */
import { KvBlockError, type KvBlockErrorCode } from "../errors.js";

/** Sent to a thread. */
export interface Call {
  readonly id: number;
  readonly message: unknown;
}

/** Sent back, once for each call; the first of all has the id 0: the thread is ready. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: PlainError };

export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code: KvBlockErrorCode | undefined;
  readonly cause: PlainError | undefined;
}

export function toPlain(error: unknown, depth = 0): PlainError {
  const { name, message, code, cause } = (
    error instanceof Error ? error : new Error(String(error))
  ) as Error & {
    code?: unknown;
  };
  return {
    name,
    message,
    code:
      typeof code === "string" && code.startsWith("ERR_KVBLOCK_") ? (code as KvBlockErrorCode) : undefined,
    cause: cause === undefined || depth > 4 ? undefined : toPlain(cause, depth + 1),
  };
}

/** The error again, of the class that it had here: a caller's mistake stays one. */
export function fromPlain({ name, message, code, cause }: PlainError): Error {
  const options = cause === undefined ? undefined : { cause: fromPlain(cause) };
  if (code !== undefined) return new KvBlockError(code, message, options);
  if (name === "TypeError") return new TypeError(message, options);
  if (name === "RangeError") return new RangeError(message, options);
  const error = new Error(message, options);
  error.name = name;
  return error;
}
