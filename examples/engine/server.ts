/**
 * The engine's HTTP API: OpenAI's endpoints with vLLM's additions, on node:http.
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { BlockManager } from "./block-manager.js";
import { answer, type GenerationHost } from "./generation.js";
import { ApiError, readJson, send, sendJson } from "./http.js";
import { metricsText } from "./metrics.js";
import { resolveModel, type ServedModels } from "./models.js";
import { readPrompts } from "./prompts.js";
import { readSampling } from "./sampling.js";
import { type Endpoint, modelList, responseId } from "./shapes.js";
import { detokenize, render, tokenize } from "./tokenize.js";

export interface ServerHost extends GenerationHost, ServedModels {
  readonly blocks: BlockManager;
  readonly numBlocks: number;
  readonly bodyLimitBytes: number;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** A server that does not listen yet. */
export function engineServer(host: ServerHost): Server {
  const started = seconds();
  const routes: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
    "/health": { GET: (_, response) => send(response, 200, "text/plain", "") },
    "/v1/models": {
      GET: (_, response) =>
        sendJson(response, 200, modelList(started, host.model, host.maxModelLen, host.loras)),
    },
    "/metrics": {
      GET: (_, response) =>
        send(response, 200, "text/plain; version=0.0.4; charset=utf-8", metricsText(host)),
    },
    "/v1/completions": { POST: (request, response) => generate(host, "completions", request, response) },
    "/v1/chat/completions": { POST: (request, response) => generate(host, "chat", request, response) },
    "/tokenize": { POST: (request, response) => tokenize(host, request, response) },
    "/v1/completions/render": {
      POST: (request, response) => render(host, "completions", request, response),
    },
    "/v1/chat/completions/render": { POST: (request, response) => render(host, "chat", request, response) },
    "/detokenize": { POST: (request, response) => detokenize(host, request, response) },
    "/reset_prefix_cache": {
      // Says 200 whether it worked or not, as vLLM does; the event leaves with the next step's batch.
      POST: (_, response) => {
        host.blocks.reset();
        send(response, 200, "text/plain", "");
      },
    },
  };
  return createServer(async (request, response) => {
    try {
      const path = (request.url ?? "/").split("?", 1)[0]!;
      const methods = Object.hasOwn(routes, path) ? routes[path] : undefined;
      if (methods === undefined) throw new ApiError(404, "NotFoundError", "Not Found");
      const handler = methods[request.method ?? ""];
      if (handler === undefined) throw new ApiError(405, "MethodNotAllowed", "Method Not Allowed");
      await handler(request, response);
    } catch (error) {
      fail(response, error);
    }
  });
}

async function generate(
  host: ServerHost,
  endpoint: Endpoint,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { json, fields } = await readJson(request, host.bodyLimitBytes);
  const { model, lora } = resolveModel(host, fields.model);
  const sampling = readSampling(fields, endpoint);
  const prompts = await readPrompts(host.tokenizer, endpoint, json);
  const requestId = request.headers["x-request-id"];
  const envelope = {
    endpoint,
    id: responseId(endpoint, Array.isArray(requestId) ? requestId[0] : requestId),
    created: seconds(),
    model,
  };
  await answer(
    host,
    { prompts: prompts.map((prompt) => ({ ...prompt, ...lora })), sampling, envelope },
    response,
  );
}

function fail(response: ServerResponse, error: unknown): void {
  // Nothing can be said any more in the middle of a stream: cutting it is what tells the client.
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const failure = error instanceof ApiError ? error : new ApiError(500, "InternalServerError", String(error));
  // The rest of a body that was too large is not read.
  if (failure.status === 413) response.setHeader("connection", "close");
  sendJson(response, failure.status, failure);
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}
