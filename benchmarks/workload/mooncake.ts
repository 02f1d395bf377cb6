/**
 * Requests of a trace in Mooncake's format (kvcache-ai/Mooncake, FAST25-release/traces): a JSON object a line,
 * `{ timestamp, input_length, output_length, hash_ids }`, one hash id per 512 prompt tokens, the last block maybe partial.
 *
 * Equal ids are equal text under equal prefixes, so a block's tokens are drawn from its id. What was generated is not in
 * the trace: it gets tokens that no other request has. Rows go to pods by chance, as in Dynamo's benchmark.
 */
import { readFileSync } from "node:fs";
import { between, seeded, tokensOf } from "../run/random.js";
import type { WorkItem } from "./requests.js";

/** Tokens that one hash id stands for. */
export const TRACE_BLOCK = 512;

interface Row {
  readonly input_length: number;
  readonly output_length: number;
  readonly hash_ids: readonly number[];
}

/** @throws Error naming the line that is no request of a trace */
export function readTrace(path: string): Row[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line, i) => {
      if (line.trim() === "") return [];
      let row: Partial<Row> | null = null;
      try {
        row = JSON.parse(line) as Partial<Row> | null;
      } catch {
        // told below, with its number
      }
      if (!isRow(row)) throw new Error(`${path}:${i + 1} is no request of a Mooncake trace`);
      return [row];
    });
}

function isRow(row: Partial<Row> | null): row is Row {
  const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
  return (
    row !== null &&
    isCount(row.input_length) &&
    isCount(row.output_length) &&
    Array.isArray(row.hash_ids) &&
    row.hash_ids.every(isCount) &&
    row.hash_ids.length === Math.ceil(row.input_length! / TRACE_BLOCK)
  );
}

export function* traced(rows: readonly Row[], seed: number, pods: number): Generator<WorkItem> {
  const random = seeded(seed);
  for (const { input_length, output_length, hash_ids } of rows) {
    const prompt = new Uint32Array(input_length);
    for (const [i, id] of hash_ids.entries()) {
      const at = i * TRACE_BLOCK;
      prompt.set(tokensOf(seeded(id ^ 0x5bd1e995), Math.min(TRACE_BLOCK, input_length - at)), at);
    }
    if (input_length > 0)
      yield { pod: between(random, 0, pods - 1), prompt, output: tokensOf(random, output_length) };
  }
}
