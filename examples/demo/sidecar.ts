/**
 * A sidecar as security teams put in front of an engine: it gives each request its tenant's `cache_salt`, behind the
 * router's back.
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { closed, listen } from "../mini-gateway/http.js";

export interface Sidecar {
  readonly url: string;
  close(): Promise<void>;
}

export async function startSaltingSidecar(engineUrl: string, salt: string): Promise<Sidecar> {
  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = await fetch(engineUrl + request.url, {
      method: request.method!,
      ...(chunks.length > 0 && {
        body: JSON.stringify({ ...JSON.parse(Buffer.concat(chunks).toString()), cache_salt: salt }),
      }),
    });
    const type = answer.headers.get("content-type") ?? "text/plain";
    response.writeHead(answer.status, { "content-type": type }).end(await answer.text());
  };
  const server = createServer((request, response) => {
    pass(request, response).catch(() => response.destroy());
  });
  const url = await listen(server, 0, "127.0.0.1");
  return {
    url,
    close() {
      server.closeAllConnections();
      return closed(server);
    },
  };
}
