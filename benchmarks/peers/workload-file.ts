/**
 * The neutral workload file: one cluster's KV events, and queries between them, as any language reads them.
 * README.md beside has the layout. All numbers are little-endian.
 */

/** A step of one engine: what a subscriber receives. */
export interface FrameRecord {
  readonly kind: "frame";
  /** From 0. Its n-th frame has sequence number n. */
  readonly pod: number;
  /** `BlockStored` events, the blocks in them, and the blocks of all `BlockRemoved` events. */
  readonly storedEvents: number;
  readonly storedBlocks: number;
  readonly removedBlocks: number;
  /** msgpack, as vLLM publishes it. */
  readonly payload: Uint8Array;
}

/** A prompt at this point of the stream. */
export interface QueryRecord {
  readonly kind: "query";
  readonly label: QueryLabel;
  readonly tokens: Uint32Array;
  /** By pod, the leading blocks that its engine would reuse now: never the one with the prompt's last token. */
  readonly expected: Uint32Array;
}

/** What a query is: a request about to be routed; nothing of it held; its system prompt held; all of it held. */
export const QUERY_LABELS = ["routed", "new", "system", "held"] as const;
export type QueryLabel = (typeof QUERY_LABELS)[number];

export type WorkloadRecord = FrameRecord | QueryRecord;

export interface Workload {
  readonly model: string;
  /** Tokens. */
  readonly blockSize: number;
  readonly pods: number;
  /** (block, pod) pairs that are resident at the end. */
  readonly residentPairs: number;
  readonly records: readonly WorkloadRecord[];
}

const MAGIC = "KVPEERS1";
const FRAME = 1;
const QUERY = 2;

export const podName = (pod: number): string => `pod-${pod}`;
export const topicOf = (pod: number, model: string): string => `kv@${podName(pod)}@${model}`;

export function encodeWorkload(workload: Workload): Buffer {
  const model = Buffer.from(workload.model);
  const parts: Uint8Array[] = [
    Buffer.from(MAGIC, "latin1"),
    u32s(workload.blockSize, workload.pods, workload.residentPairs, workload.records.length, model.length),
    model,
  ];
  for (const record of workload.records) {
    if (record.kind === "frame") {
      const { pod, storedEvents, storedBlocks, removedBlocks, payload } = record;
      parts.push(u32s(FRAME, pod, storedEvents, storedBlocks, removedBlocks, payload.length), payload);
    } else {
      if (record.expected.length !== workload.pods)
        throw new RangeError(`"expected" has ${record.expected.length} pods, the workload ${workload.pods}`);
      parts.push(u32s(QUERY, QUERY_LABELS.indexOf(record.label), record.tokens.length));
      parts.push(u32s(...record.expected), bytesOf(record.tokens));
    }
  }
  return Buffer.concat(parts);
}

/** @throws Error for bytes that are no workload */
export function decodeWorkload(bytes: Buffer): Workload {
  let at = MAGIC.length;
  const u32 = (): number => {
    at += 4;
    return bytes.readUInt32LE(at - 4);
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error(`the workload file ends early, at byte ${bytes.length}`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  const array = (length: number): Uint32Array => {
    const words = take(4 * length);
    return Uint32Array.from({ length }, (_, i) => words.readUInt32LE(4 * i));
  };
  if (bytes.toString("latin1", 0, at) !== MAGIC) throw new Error("not a workload file");
  const [blockSize, pods, residentPairs, count] = [u32(), u32(), u32(), u32()];
  const model = take(u32()).toString();
  const records: WorkloadRecord[] = [];
  while (records.length < count) {
    const kind = u32();
    if (kind === FRAME) {
      const [pod, storedEvents, storedBlocks, removedBlocks] = [u32(), u32(), u32(), u32()];
      records.push({ kind: "frame", pod, storedEvents, storedBlocks, removedBlocks, payload: take(u32()) });
    } else if (kind === QUERY) {
      const label = QUERY_LABELS[u32()];
      if (label === undefined) throw new Error(`no such query label, at byte ${at - 4}`);
      const length = u32();
      const expected = array(pods);
      records.push({ kind: "query", label, tokens: array(length), expected });
    } else throw new Error(`no such record: ${kind}, at byte ${at - 4}`);
  }
  return { model, blockSize, pods, residentPairs, records };
}

export const framesOf = ({ records }: Pick<Workload, "records">): FrameRecord[] =>
  records.filter((record) => record.kind === "frame");
export const queriesOf = ({ records }: Pick<Workload, "records">): QueryRecord[] =>
  records.filter((record) => record.kind === "query");
/** Blocks stored and removed. */
export const operationsOf = (workload: Pick<Workload, "records">): number =>
  framesOf(workload).reduce((sum, frame) => sum + frame.storedBlocks + frame.removedBlocks, 0);

function u32s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i);
  return bytes;
}

function bytesOf(tokens: Uint32Array): Buffer {
  const bytes = Buffer.alloc(4 * tokens.length);
  for (let i = 0; i < tokens.length; i++) bytes.writeUInt32LE(tokens[i]!, 4 * i);
  return bytes;
}
