/**
 * JSON over node:http with vLLM's error envelope.
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";

/** An answer that is an error, in vLLM's shape (`ErrorInfo` in `vllm/entrypoints/openai/protocol.py`). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
    readonly param: string | null = null,
  ) {
    super(message);
  }

  toJSON(): unknown {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.status } };
  }
}

/** The caller's mistake, named by the body's field. */
export function badRequest(message: string, param: string | null = null): ApiError {
  return new ApiError(400, "BadRequestError", message, param);
}

/** A body as it came, and its fields. */
export interface JsonBody {
  readonly json: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** @throws ApiError 400 if the body is not a JSON object, 413 if it is larger than `limit` bytes */
export async function readJson(request: IncomingMessage, limit: number): Promise<JsonBody> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit)
      throw new ApiError(413, "RequestEntityTooLarge", `The body is larger than ${limit} bytes.`);
    chunks.push(chunk);
  }
  const json = Buffer.concat(chunks).toString("utf8");
  let body: unknown;
  try {
    body = JSON.parse(json);
  } catch {
    throw badRequest("The body is not valid JSON.");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw badRequest("The body is not a JSON object.");
  return { json, fields: body as Record<string, unknown> };
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json", JSON.stringify(body));
}

export function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) }).end(text);
}
