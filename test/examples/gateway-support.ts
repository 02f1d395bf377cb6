/**
 * A gateway for tests on free ports, and upstreams that misbehave on demand.
 */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Tokenizer } from "kvblock";
import { checkConfig } from "../../examples/mini-gateway/config.js";
import { type Gateway, startGateway } from "../../examples/mini-gateway/gateway.js";
import { byteTokenizer } from "./engine-support.js";

/** What a test started, closed in reverse order by `closeAll`. */
const started: { close(): Promise<unknown> }[] = [];

export function closing<T extends { close(): Promise<unknown> }>(part: T): T {
  started.push(part);
  return part;
}

export async function closeAll(): Promise<void> {
  for (const part of started.splice(0).reverse()) await part.close();
}

export interface TestGateway {
  readonly gateway: Gateway;
  readonly url: string;
  readonly lines: string[];
  /** The particulars of each line with that message. */
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  said(message: string): any[];
}

/** A gateway of the model "base" that no timer disturbs, unless `config` says otherwise. */
export async function gatewayOf(
  pods: readonly object[],
  config: object = {},
  tokenizer: Tokenizer = byteTokenizer,
): Promise<TestGateway> {
  const lines: string[] = [];
  const gateway = await startGateway(
    checkConfig({
      port: 0,
      metricsPort: null,
      models: { base: {} },
      pods,
      // Nobody publishes there: the port is ours as soon as it is asked for.
      ...(pods.some((pod) => !("events" in pod)) && { bindEvents: "tcp://127.0.0.1:*" }),
      probeIntervalMs: 60_000,
      scoreTimeoutMs: 5000,
      ...config,
    }),
    { write: (line) => lines.push(line), tokenizers: { base: tokenizer } },
  );
  closing(gateway);
  const said = (message: string): unknown[] =>
    lines
      .filter((line) => line.includes(`  gateway  ${message} {`))
      .map((line) => JSON.parse(line.slice(line.indexOf("{"))));
  return { gateway, url: gateway.url, lines, said };
}

/** An upstream that is healthy and else does what it is told. */
export async function upstream(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; name: string; close(): Promise<void> }> {
  return serve((request, response) => {
    if (request.url === "/health") response.end();
    else answer(request, response);
  });
}

export async function serve(
  listener: RequestListener,
  port = 0,
): Promise<{ url: string; name: string; port: number; close(): Promise<void> }> {
  const server = createServer(listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  const address = server.address() as AddressInfo;
  return closing({
    url: `http://127.0.0.1:${address.port}`,
    name: `127.0.0.1:${address.port}`,
    port: address.port,
    async close() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  });
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 25_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited 25 seconds for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Until the gateway hears so many engines. Connected is not yet subscribed: a PUB drops what it sends before. */
export async function hears(gateway: Gateway, engines: number): Promise<void> {
  await until(() => gateway.eventConnections === engines, "events to be connected");
  await new Promise((resolve) => setTimeout(resolve, 100));
}

export function complete(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });
}
