/**
 * Bodies in, JSON and errors out: errors in vLLM's envelope, so that clients need not know who refused them.
 * @module
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Server } from "node:net";

/** An answer that is an error: `ErrorInfo` of vLLM's `vllm/entrypoints/openai/protocol.py`. */
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

/** @throws ApiError 413 if the body is larger than `limit` bytes */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const tooLarge = (): ApiError =>
    new ApiError(413, "RequestEntityTooLarge", `The body is larger than ${limit} bytes.`);
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @throws ApiError 400 if the body is not a JSON object in UTF-8 */
export function parseBody(body: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new ApiError(400, "BadRequestError", "The body is not valid JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ApiError(400, "BadRequestError", "The body is not a JSON object.");
  return value as Record<string, unknown>;
}

/**
 * The body with another `model`, all else byte for byte: written anew, its numbers could change (`1.0`, large seeds).
 */
export function withModel(body: Buffer, model: string): Buffer {
  let depth = 0;
  let key: string | undefined;
  let isValue = false;
  const json = body.toString("utf8").replace(/"(?:[^"\\]+|\\.)*"|[{}[\]:,]/gs, (token) => {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (depth !== 1) return token;
    else if (token === ":" || token === ",") isValue = token === ":";
    else if (isValue) return key === "model" ? JSON.stringify(model) : token;
    else key = JSON.parse(token) as string;
    return token;
  });
  return Buffer.from(json);
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json", JSON.stringify(body));
}

export function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) }).end(text);
}

/** @throws an Error that names a busy port */
export async function listen(server: Server, port: number, host: string): Promise<string> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
    throw new Error(`port ${port} of ${host} is busy`, { cause: error });
  }
  const address = server.address() as AddressInfo;
  return `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`;
}

/** Take no new connections, and wait until those that are open have ended. */
export async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  const end = once(server, "close");
  server.close();
  await end;
}
