/**
 * One request to one pod, and its answer back: nothing buffered, each side as fast as the other takes it.
 * @module
 */
import { once } from "node:events";
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";

/** Meant for one connection only (RFC 9110, section 7.6.1, and older practice): never passed on. */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Connections to the pods, kept for the next request. */
export class Upstream {
  readonly #agents = {
    "http:": new http.Agent({ keepAlive: true }),
    "https:": new https.Agent({ keepAlive: true }),
  };
  readonly #connectTimeoutMs: number;

  constructor(connectTimeoutMs: number) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /**
   * POST a body. Resolves with the response's headers; how long the engine takes to them is its own affair.
   *
   * @param signal - cancels the request, and later the response
   * @throws what the connection failed of
   */
  async post(
    url: URL,
    headers: IncomingHttpHeaders,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    for (;;) {
      const secure = url.protocol === "https:";
      const request = (secure ? https : http).request(url, {
        method: "POST",
        headers: { ...headers, "content-length": body.length },
        agent: this.#agents[secure ? "https:" : "http:"],
        signal,
      });
      // A response that breaks off tells it itself; without a listener the request would end the process.
      request.on("error", () => {});
      request.on("socket", (socket) => {
        if (!socket.connecting) return;
        const late = (): void =>
          void request.destroy(new Error(`no connection within ${this.#connectTimeoutMs} ms`));
        const timer = setTimeout(late, this.#connectTimeoutMs);
        socket.once("connect", () => clearTimeout(timer)).once("close", () => clearTimeout(timer));
      });
      request.end(body);
      try {
        const [response] = (await once(request, "response")) as [IncomingMessage];
        return response;
      } catch (error) {
        // The pod closed a kept connection while the request was on its way: says nothing about the pod.
        if (request.reusedSocket && (error as { code?: string }).code === "ECONNRESET" && !signal.aborted)
          continue;
        throw error;
      }
    }
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }
}

/**
 * Send a pod's answer to the client, chunk by chunk as it comes.
 *
 * @param onChunk - sees each chunk after it was sent
 * @throws if the pod breaks off, or the signal's reason
 */
export async function relay(
  upstream: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
  onChunk: (chunk: Buffer) => void,
): Promise<void> {
  response.flushHeaders();
  for await (const chunk of upstream as AsyncIterable<Buffer>) {
    const hasRoom = response.write(chunk);
    onChunk(chunk);
    if (!hasRoom) await once(response, "drain", { signal });
  }
  response.end();
}

/** The headers that go on to the other side. */
export function endToEnd(headers: IncomingHttpHeaders, ...without: readonly string[]): IncomingHttpHeaders {
  const named = (headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
  const dropped = new Set([...HOP_BY_HOP, ...named, ...without]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
}
