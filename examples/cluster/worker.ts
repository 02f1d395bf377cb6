/**
 * One worker: an index of its own, fed by the primary, behind the port that all workers share.
 *
 * `POST /score` takes a completions body and answers with the scores, and with which worker it is. A router would go
 * on from here as examples/mini-gateway does.
 * @module
 */
import cluster from "node:cluster";
import { createServer } from "node:http";
import { Indexer } from "kvblock";
import { createHuggingFaceTokenizer } from "kvblock/tokenize";
import { qwen3Directory } from "../engine/qwen3.js";
import { parseBody, readBody, sendJson } from "../mini-gateway/http.js";
import type { FramesMessage, ReadyMessage } from "./workers.js";

export interface WorkerAnswer {
  readonly worker: number;
  /** Frames applied so far. */
  readonly frames: number;
  readonly scores: Readonly<Record<string, number>> | null;
}

const [model, port] = process.argv.slice(2) as [string, string];
const indexer = await Indexer.create({
  tokenizers: { [model]: await createHuggingFaceTokenizer(qwen3Directory()) },
});

process.on("message", ({ frames = [] }: Partial<FramesMessage>) => {
  for (const frame of frames) indexer.apply(frame);
});
// The primary's end, however it comes, is the worker's.
process.on("disconnect", () => process.exit());
process.send!({ ready: true } satisfies ReadyMessage);

createServer(async (request, response) => {
  try {
    const { prompt } = parseBody(await readBody(request, 2 ** 20));
    const scores = await indexer.scorePrompt(prompt as string, { model });
    const answer: WorkerAnswer = {
      worker: cluster.worker!.id,
      frames: indexer.stats().frames,
      scores: scores.toJSON(),
    };
    sendJson(response, 200, answer);
  } catch (error) {
    sendJson(response, 400, { error: String(error) });
  }
}).listen(Number(port), "127.0.0.1");
