/**
 * A router for vLLM pods in one readable file: follow their KV events, send each request where most of its prompt is
 * cached. The files beside it hold the parts: config, pods and the pick, scoring, proxying, metrics.
 * @module
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { formatMetricsBeat, Indexer, type Subscription, type Tokenizer } from "kvblock";
import { createWorkerPool, type WorkerPool } from "kvblock/pool";
import type { GatewayConfig } from "./config.js";
import { followEvents } from "./events.js";
import { ApiError, closed, listen, parseBody, readBody, send, sendJson, withModel } from "./http.js";
import { createLog, type Log, messageOf, tellDiagnostics } from "./log.js";
import { GatewayMetrics } from "./metrics.js";
import { mergedModels } from "./model-list.js";
import { ModelNames, type ResolvedModel } from "./model-names.js";
import { type Pick, type Pod, Pods } from "./pods.js";
import { endToEnd, relay, Upstream } from "./proxy.js";
import { type Input, modelOf, NOTHING_KNOWN, readInput, type Scoring, score } from "./scoring.js";
import { loadsFiles, loadTokenizers } from "./tokenizers.js";
import { UsageReader } from "./usage.js";

export interface GatewayOptions {
  /** Where log lines go. Default standard output. */
  readonly write?: ((line: string) => void) | undefined;
  /** Tokenizers by base model, for models whose config names none. */
  readonly tokenizers?: Readonly<Record<string, Tokenizer>> | undefined;
  /** Script of the tokenizers' threads, where it is not the package's. */
  readonly workerUrl?: URL | undefined;
}

/** A request on its way. */
interface Request {
  readonly id: string;
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  /** Undefined where nothing is scored. */
  readonly input: Input | undefined;
  readonly model: ResolvedModel;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
}

/** Start a gateway; it serves when the promise resolves. */
export async function startGateway(config: GatewayConfig, options: GatewayOptions = {}): Promise<Gateway> {
  const log = createLog(options.write ?? console.log);
  const onDiagnostic = tellDiagnostics(log);
  const workers = loadsFiles(config) ? config.tokenizerWorkers : 0;
  const pool = await createWorkerPool({ workers, workerUrl: options.workerUrl, onDiagnostic });
  let gateway: Gateway | undefined;
  try {
    const indexer = await Indexer.create({
      models: Object.fromEntries(
        Object.entries(config.models).map(([name, { tokenizer: _, ...model }]) => [name, model]),
      ),
      tokenizers: { ...options.tokenizers, ...(await loadTokenizers(config, pool, log)) },
      pool,
      onDiagnostic,
    });
    gateway = new Gateway(config, indexer, pool, log);
    await gateway.start();
    return gateway;
  } catch (error) {
    await (gateway ?? pool).close();
    throw error;
  }
}

export class Gateway {
  readonly indexer: Indexer;
  /** Of the API and of the metrics (null if there are none), once started. */
  url = "";
  metricsUrl: string | null = null;
  readonly #config: GatewayConfig;
  readonly #pool: WorkerPool;
  readonly #log: Log;
  readonly #pods: Pods;
  readonly #metrics: GatewayMetrics;
  readonly #upstream: Upstream;
  readonly #names: ModelNames;
  #subscriptions: readonly Subscription[] = [];
  readonly #api: Server;
  readonly #admin: Server;
  #beat: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #underWay = 0;

  constructor(config: GatewayConfig, indexer: Indexer, pool: WorkerPool, log: Log) {
    this.indexer = indexer;
    this.#pool = pool;
    this.#config = config;
    this.#log = log;
    this.#pods = new Pods(config, log);
    this.#metrics = new GatewayMetrics(indexer, pool, this.#pods);
    this.#upstream = new Upstream(config.connectTimeoutMs);
    this.#names = new ModelNames(config);
    this.#api = createServer((request, response) => void this.#serve(request, response));
    this.#admin = createServer((request, response) => void this.#serveAdmin(request, response));
  }

  /** Pods whose events are connected. */
  get eventConnections(): number {
    return this.#subscriptions.reduce((sum, { transport }) => sum + (transport?.connected ?? 0), 0);
  }

  async start(): Promise<void> {
    const { host, port, metricsHost, metricsPort, pods, beatIntervalMs } = this.#config;
    // Events first: without a replay endpoint, what an engine announces before we listen is never said again.
    this.#subscriptions = await followEvents(this.indexer, this.#config);
    if (metricsPort !== null) this.metricsUrl = await listen(this.#admin, metricsPort, metricsHost);
    await this.#pods.watch();
    this.url = await listen(this.#api, port, host);
    this.#beat = setInterval(
      () => this.#log("INFO", formatMetricsBeat(this.indexer.stats())),
      beatIntervalMs,
    );
    this.#log("INFO", "gateway up", {
      url: this.url,
      metrics: this.metricsUrl,
      pods: pods.map(({ name }) => name),
    });
  }

  /** Take no new requests, finish those under way (for `drainTimeoutMs` at most), close everything. */
  close(): Promise<void> {
    // Set before anything is done: what is done looks at it.
    return (this.#closing ??= Promise.resolve().then(() => this.#drain()));
  }

  async #drain(): Promise<void> {
    clearInterval(this.#beat);
    this.#pods.stop();
    const cutOff = setTimeout(() => this.#api.closeAllConnections(), this.#config.drainTimeoutMs);
    const end = closed(this.#api);
    this.#cutIdle();
    await end;
    clearTimeout(cutOff);
    this.#upstream.close();
    this.#admin.closeAllConnections();
    await closed(this.#admin);
    await this.indexer.close();
    await this.#pool.close();
  }

  /** Kept connections, and those on which nothing was asked yet, would hold up the drain. */
  #cutIdle(): void {
    if (this.#closing && this.#underWay === 0) this.#api.closeAllConnections();
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = requestId(message);
    response.setHeader("x-request-id", id);
    this.#underWay++;
    // A write to a client that has gone; its close says the same.
    response.on("error", () => {});
    response.on("close", () => {
      this.#underWay--;
      this.#cutIdle();
    });
    if (this.#closing) response.setHeader("connection", "close");
    try {
      const route = `${message.method} ${message.url!.split("?", 1)[0]}`;
      if (route === "POST /v1/completions" || route === "POST /v1/chat/completions")
        await this.#complete(id, message, response);
      else if (route === "GET /v1/models")
        sendJson(response, 200, await mergedModels(this.#config, this.#pods));
      else if (!this.#sendHealth(route, response)) throw new ApiError(404, "NotFoundError", "Not Found");
    } catch (error) {
      this.#fail(id, message, response, error);
    }
  }

  async #complete(id: string, message: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    let body = await readBody(message, this.#config.bodyLimitBytes);
    const input = this.#config.scoring ? readInput(body) : undefined;
    const model = this.#names.resolve(modelOf(input) ?? parseBody(body).model);
    if (model.target !== model.model) body = withModel(body, model.target);
    const request: Request = { id, message, response, body, input, model, gone: gone.signal };

    let candidates = this.#pods.available(model.base);
    if (candidates.length === 0) throw noEngine(model.base);
    const { scoring, failed, scoreMs } = await this.#score(request, candidates);
    for (;;) {
      if (gone.signal.aborted) return;
      const pick = this.#pods.pick(candidates, scoring.tokens);
      if (pick === undefined) throw noEngine(model.base);
      this.#metrics.routed.inc({ reason: failed ? "fail-open" : pick.reason });
      if (await this.#forward(request, pick, scoring, scoreMs)) return;
      candidates = candidates.filter((pod) => pod !== pick.pod);
      this.#metrics.retries.inc();
    }
  }

  /** Fails open: whatever goes wrong here, the request is routed by load. */
  async #score(
    { id, input, model }: Request,
    pods: readonly Pod[],
  ): Promise<{ scoring: Scoring; failed: boolean; scoreMs: number }> {
    const started = performance.now();
    const who = { "x-request-id": id, model: model.model, resolvedTargetModel: model.target };
    let scoring: Scoring | null = null;
    let failed = false;
    try {
      const limitMs = this.#config.scoreTimeoutMs;
      if (input) scoring = await score(this.indexer, { input, model: model.target, pods, limitMs });
      if (scoring !== null) this.#log("INFO", "Got pod scores", { ...who, scores: scoring.scores });
    } catch (error) {
      failed = true;
      this.#log("WARN", "Scoring failed, routing by load", { ...who, error: messageOf(error) });
    }
    const scoreMs = performance.now() - started;
    this.#metrics.scoreSeconds.observe(scoreMs / 1000);
    return { scoring: scoring ?? NOTHING_KNOWN, failed, scoreMs };
  }

  /** Returns false if the pod gave no answer, so that another can be tried: never after the first header. */
  async #forward(
    request: Request,
    { pod, reason }: Pick,
    scoring: Scoring,
    scoreMs: number,
  ): Promise<boolean> {
    const { id, message, response, body, gone } = request;
    const headers = endToEnd(message.headers, "host", "content-length", "expect");
    const usage = new UsageReader();
    let status: number | undefined;
    pod.inFlight++;
    try {
      // The path is one of ours: it cannot lead to another host.
      const url = new URL(message.url!, pod.url);
      const upstream = await this.#upstream.post(url, { ...headers, "x-request-id": id }, body, gone);
      status = upstream.statusCode!;
      response.writeHead(status, { ...endToEnd(upstream.headers), "x-request-id": id });
      await relay(upstream, response, gone, (chunk) => usage.push(chunk));
    } catch (error) {
      if (!gone.aborted) this.#pods.eject(pod, error);
      // In the middle of an answer nothing can be said any more: cutting it is what tells the client.
      if (status !== undefined) response.destroy();
      else if (!gone.aborted) return false;
    } finally {
      pod.inFlight--;
    }
    if (usage.usage !== undefined) scoring.observe(pod, usage.usage);
    this.#metrics.requests.inc({ pod: pod.name, status: status ?? "cancelled" });
    this.#log("INFO", "Served", {
      "x-request-id": id,
      pod: pod.name,
      reason,
      status: status ?? null,
      scoreMs: Number(scoreMs.toFixed(3)),
      promptTokens: usage.usage?.promptTokens,
      predictedCachedTokens: scoring.predicted(pod),
      cachedTokens: usage.usage?.cachedTokens,
      cancelled: gone.aborted && !response.writableFinished ? true : undefined,
    });
    return true;
  }

  async #serveAdmin(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = `${message.method} ${message.url}`;
    const { registry } = this.#metrics;
    if (route === "GET /metrics") send(response, 200, registry.contentType, await registry.metrics());
    else if (route === "GET /debug/kvblock") sendJson(response, 200, this.indexer.report());
    else if (!this.#sendHealth(route, response)) send(response, 404, "text/plain", "Not Found");
  }

  #sendHealth(route: string, response: ServerResponse): boolean {
    if (route !== "GET /livez" && route !== "GET /readyz") return false;
    const hasEngine = Array.from(this.#pods).some(({ available }) => available);
    const trouble = this.#closing ? "draining" : hasEngine ? null : "no engine is reachable";
    if (route === "GET /livez" || trouble === null) send(response, 200, "text/plain", "ok");
    else send(response, 503, "text/plain", trouble);
    return true;
  }

  #fail(id: string, message: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.destroyed || response.headersSent) {
      response.destroy();
      return;
    }
    const isOurs = error instanceof ApiError;
    const failure = isOurs ? error : new ApiError(500, "InternalServerError", "The gateway failed.");
    if (!isOurs) this.#log("ERROR", "Request failed", { "x-request-id": id, error: messageOf(error) });
    // The rest of a body that was refused is not read.
    if (!message.complete) response.setHeader("connection", "close");
    sendJson(response, failure.status, failure);
  }
}

function requestId({ headers }: IncomingMessage): string {
  const given = headers["x-request-id"];
  return typeof given === "string" && /^[\x21-\x7e]{1,200}$/.test(given) ? given : randomUUID();
}

function noEngine(model: string): ApiError {
  return new ApiError(503, "ServiceUnavailableError", `No engine is available for the model \`${model}\`.`);
}
