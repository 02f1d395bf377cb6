/** The gateway's own answers: refusals, health, metrics, the beat, and its end. */
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startByteEngine } from "./engine-support.js";
import { closeAll, closing, complete, gatewayOf, hears, serve, until, upstream } from "./gateway-support.js";

afterEach(closeAll);

const BODY = { model: "base", prompt: "abcdefghijkl", max_tokens: 2 };

describe("refusals, in vLLM's envelope", () => {
  it("answers 404 for a model that the config does not have", async () => {
    const pod = closing(await startByteEngine());
    const { url } = await gatewayOf([{ url: pod.url }]);
    const response = await complete(url, { ...BODY, model: "gpt" });
    expect(response.status).toBe(404);
    const refusal = await response.json();
    expect(refusal).toEqual({
      error: { message: "The model `gpt` does not exist.", type: "NotFoundError", param: "model", code: 404 },
    });
    // The engine itself would have said the same.
    expect(await (await complete(pod.url, { ...BODY, model: "gpt" })).json()).toEqual(refusal);
  });

  it("takes a body without a model for the only one there is, and asks where there are two", async () => {
    const pod = closing(await startByteEngine());
    const one = await gatewayOf([{ url: pod.url }]);
    expect((await complete(one.url, { prompt: "abcd", max_tokens: 1 })).status).toBe(200);
    const two = await gatewayOf([{ url: pod.url, model: "base" }], { models: { base: {}, other: {} } });
    expect((await complete(two.url, { prompt: "abcd", max_tokens: 1 })).status).toBe(404);
    expect((await complete(two.url, { ...BODY, model: "other" })).status).toBe(503);
  });

  it.each([
    ["is no JSON", "{"],
    ["is no object", "[1]"],
    ["is no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["is empty", ""],
  ])("answers 400 for a body that %s", async (_, body) => {
    const { url } = await gatewayOf([{ url: "http://127.0.0.1:1" }]);
    const response = await fetch(`${url}/v1/completions`, { method: "POST", body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: "BadRequestError", code: 400 } });
  });

  it("answers 413 for a body above the limit, announced or not", async () => {
    const { url } = await gatewayOf([{ url: "http://127.0.0.1:1" }], { bodyLimitBytes: 1000 });
    const announced = await complete(url, { ...BODY, prompt: "x".repeat(1000) });
    expect(announced.status).toBe(413);
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 3; i++) yield new Uint8Array(500);
    };
    const streamed = await complete(url, "", {
      body: chunks() as unknown as ReadableStream,
      duplex: "half",
    } as RequestInit);
    expect(streamed.status).toBe(413);
    expect(await streamed.json()).toMatchObject({ error: { code: 413 } });
  });

  it("answers 503 when no engine is reachable, and 404 for other paths", async () => {
    const { url } = await gatewayOf([{ url: "http://127.0.0.1:1" }]);
    expect((await complete(url, BODY)).status).toBe(503);
    expect((await fetch(`${url}/v1/models`)).status).toBe(503);
    expect((await fetch(`${url}/v1/embeddings`, { method: "POST", body: "{}" })).status).toBe(404);
    expect((await fetch(`${url}/v1/completions`)).status).toBe(404);
  });
});

describe("request lines", () => {
  it("never lets a client choose the host that a request goes to", async () => {
    let visits = 0;
    const elsewhere = await serve((_, response) => {
      visits++;
      response.end();
    });
    const pod = await upstream((_, response) => void response.end("{}"));
    const { url } = await gatewayOf([{ url: pod.url }]);
    const gateway = new URL(url);
    for (const path of [
      `//${elsewhere.name}/v1/completions`,
      `${elsewhere.url}/v1/completions`,
      `/v1/../..//${elsewhere.name}/v1/completions`,
      "//",
    ]) {
      const status = await new Promise((resolve, reject) => {
        httpRequest({ host: gateway.hostname, port: gateway.port, path, method: "POST" }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end(JSON.stringify(BODY));
      });
      expect(status).toBe(404);
    }
    expect(visits).toBe(0);
  });
});

describe("health and metrics", () => {
  it("is alive without engines, and ready with one", async () => {
    const none = await gatewayOf([{ url: "http://127.0.0.1:1" }]);
    expect((await fetch(`${none.url}/livez`)).status).toBe(200);
    expect((await fetch(`${none.url}/readyz`)).status).toBe(503);
    const pod = closing(await startByteEngine());
    const one = await gatewayOf([{ url: "http://127.0.0.1:1" }, { url: pod.url }]);
    expect((await fetch(`${one.url}/readyz`)).status).toBe(200);
  });

  it("gives Prometheus the index under llm-d's names, and its own requests", async () => {
    const pod = closing(await startByteEngine());
    const { gateway, url } = await gatewayOf([{ url: pod.url, events: pod.eventsEndpoint }], {
      metricsPort: 0,
    });
    await hears(gateway, 1);
    await (await complete(url, BODY)).text();
    await until(() => gateway.indexer.stats().admissions === 3, "events");
    await (await complete(url, BODY)).text();
    const response = await fetch(`${gateway.metricsUrl}/metrics`);
    expect(response.headers.get("content-type")).toContain("text/plain");
    const text = await response.text();
    for (const line of [
      "kvcache_index_admissions_total 3",
      "kvcache_index_lookup_requests_total 2",
      "kvcache_index_lookup_hits_total 2",
      'mini_gateway_routed_total{reason="load"} 1',
      'mini_gateway_routed_total{reason="score"} 1',
      "mini_gateway_score_seconds_count 2",
      `mini_gateway_pod_available{pod="${new URL(pod.url).host}"} 1`,
      'mini_gateway_predictions_total{outcome="exact"} 1',
    ])
      expect(text).toContain(`${line}\n`);
    expect((await fetch(`${gateway.metricsUrl}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${gateway.metricsUrl}/debug/kvblock`)).json()).toMatchObject({
      kvblock: expect.any(String),
      stats: { lookups: 2 },
      pods: [{ state: "live" }],
    });
    expect((await fetch(`${gateway.metricsUrl}/v1/models`)).status).toBe(404);
  });

  it("logs a metrics beat at its interval", async () => {
    const { lines } = await gatewayOf([{ url: "http://127.0.0.1:1" }], { beatIntervalMs: 10 });
    await until(() => lines.filter((line) => line.includes("metrics beat")).length >= 2, "two beats");
    expect(lines.find((line) => line.includes("metrics beat"))).toMatch(
      /^\S+Z {2}INFO {2}gateway {2}metrics beat admissions=0 evictions=0 lookups=0 hits=0 latency_count=0/,
    );
  });

  it("names a port that is busy", async () => {
    const { port } = await serve(() => {});
    await expect(gatewayOf([{ url: "http://127.0.0.1:1" }], { port })).rejects.toThrow(
      `port ${port} of 127.0.0.1 is busy`,
    );
  });
});

describe("draining", () => {
  it("finishes what is under way, refuses what is new, and says that it is not ready", async () => {
    let finish = (): void => {};
    const pod = await upstream((_, response) => {
      response.write("begun, ");
      finish = () => response.end("done");
    });
    const { gateway, url } = await gatewayOf([{ url: pod.url }], { metricsPort: 0 });
    const response = await complete(url, BODY);
    // Connections on which nothing was asked must not hold it up.
    const idle = connect(Number(new URL(url).port), "127.0.0.1");
    await once(idle, "connect");
    let isClosed = false;
    const closed = gateway.close().then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isClosed).toBe(false);
    const ready = await fetch(`${gateway.metricsUrl}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, "draining"]);
    await expect(complete(url, BODY)).rejects.toThrow();
    finish();
    expect(await response.text()).toBe("begun, done");
    await closed;
  });

  it("cuts what is still under way when its time is over", async () => {
    const pod = await upstream((_, response) => void response.write("begun, "));
    const { gateway, url } = await gatewayOf([{ url: pod.url }], { drainTimeoutMs: 50 });
    const response = await complete(url, BODY);
    const started = performance.now();
    await gateway.close();
    expect(performance.now() - started).toBeLessThan(2000);
    await expect(response.text()).rejects.toThrow();
  });
});
