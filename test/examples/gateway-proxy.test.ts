/** The gateway as a proxy: what passes through, what does not, and what happens when either side goes away. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startByteEngine } from "./engine-support.js";
import { closeAll, closing, complete, gatewayOf, serve, until, upstream } from "./gateway-support.js";

afterEach(closeAll);

const BODY = { model: "base", prompt: "abcdefgh", max_tokens: 2 };

describe("passing through", () => {
  it("hands on each event of a stream while the engine still writes", async () => {
    let finish = (): void => {};
    const pod = await upstream((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: one\n\n");
      finish = () => response.end("data: [DONE]\n\n");
    });
    const { url } = await gatewayOf([{ url: pod.url }]);
    const response = await complete(url, { ...BODY, stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body!.getReader();
    const first = await reader.read();
    expect(Buffer.from(first.value!).toString()).toBe("data: one\n\n");
    finish();
    const second = await reader.read();
    expect(Buffer.from(second.value!).toString()).toBe("data: [DONE]\n\n");
    expect((await reader.read()).done).toBe(true);
  });

  it("sends the headers on before there is any body", async () => {
    let finish = (): void => {};
    const pod = await upstream((_, response) => {
      response.writeHead(202, { "x-engine": "yes" }).flushHeaders();
      finish = () => response.end("late");
    });
    const { url } = await gatewayOf([{ url: pod.url }]);
    const response = await complete(url, BODY);
    expect(response.status).toBe(202);
    expect(response.headers.get("x-engine")).toBe("yes");
    finish();
    expect(await response.text()).toBe("late");
  });

  it("stops reading from the engine while the client does not read", async () => {
    const chunk = Buffer.alloc(256 * 1024, "x");
    const total = 400;
    let written = 0;
    const pod = await upstream(async (_, response) => {
      for (; written < total; written++)
        if (!response.write(chunk)) await new Promise((resolve) => response.once("drain", resolve));
      response.end();
    });
    const { url } = await gatewayOf([{ url: pod.url }]);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(`${url}/v1/completions`, { method: "POST" }, resolve)
        .on("error", reject)
        .end(JSON.stringify(BODY));
    });
    response.pause();
    let before = -1;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(written).toBeLessThan(total);
    let received = 0;
    for await (const part of response as AsyncIterable<Buffer>) received += part.length;
    expect(received).toBe(total * chunk.length);
  });

  it("strips hop-by-hop headers both ways, the ones that Connection names too", async () => {
    let seen: IncomingMessage["headers"] = {};
    const pod = await upstream((request, response) => {
      seen = request.headers;
      response.writeHead(200, {
        connection: "keep-alive, x-private",
        "x-private": "1",
        "proxy-authenticate": "Basic",
        "x-kept": "1",
        "set-cookie": ["a=1", "b=2"],
      });
      response.end("{}");
    });
    const { url } = await gatewayOf([{ url: pod.url }]);
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = {
        connection: "keep-alive, x-secret",
        "x-secret": "1",
        te: "trailers",
        "proxy-authorization": "Basic x",
        authorization: "Bearer x",
        expect: "100-continue",
      };
      httpRequest(`${url}/v1/completions?a=b`, { method: "POST", headers }, (response) => {
        response.resume();
        resolve(response);
      })
        .on("error", reject)
        .end(JSON.stringify(BODY));
    });
    expect(seen).toMatchObject({ authorization: "Bearer x", host: pod.name });
    for (const name of ["x-secret", "te", "proxy-authorization", "expect"])
      expect(seen).not.toHaveProperty(name);
    expect(answer.headers).toMatchObject({ "x-kept": "1", "set-cookie": ["a=1", "b=2"] });
    for (const name of ["x-private", "proxy-authenticate"]) expect(answer.headers).not.toHaveProperty(name);
  });

  it("gives the caller's request id to the engine and back, and makes one where there is none", async () => {
    const engine = closing(await startByteEngine());
    const { url, said } = await gatewayOf([{ url: engine.url }]);
    const named = await complete(url, BODY, { headers: { "x-request-id": "mine" } });
    expect(named.headers.get("x-request-id")).toBe("mine");
    expect(((await named.json()) as { id: string }).id).toBe("cmpl-mine");
    const unnamed = await complete(url, BODY);
    const id = unnamed.headers.get("x-request-id")!;
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(((await unnamed.json()) as { id: string }).id).toBe(`cmpl-${id}`);
    expect(said("Got pod scores").map((fields) => fields["x-request-id"])).toEqual(["mine", id]);
  });

  it("passes an engine's own refusal on as it is", async () => {
    const engine = closing(await startByteEngine());
    const { url } = await gatewayOf([{ url: engine.url }]);
    const refused = await complete(url, { ...BODY, max_tokens: 100_000 });
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain("maximum context length");
  });
});

describe("going away", () => {
  it("cancels the engine's work when the client leaves", async () => {
    const engine = closing(
      await startByteEngine({
        timing: { requestOverheadMs: 0, prefillTokensPerSecond: 1e9, decodeStepMs: 20 },
      }),
    );
    const { url, said } = await gatewayOf([{ url: engine.url }]);
    const client = new AbortController();
    const response = await complete(
      url,
      { ...BODY, max_tokens: 300, stream: true },
      { signal: client.signal },
    );
    await response.body!.getReader().read();
    expect(engine.blocks.pool.usedBlocks).toBeGreaterThan(0);
    client.abort();
    await until(() => said("Served").length > 0, "the request to end");
    expect(said("Served")[0]).toMatchObject({ status: 200, cancelled: true });
    await until(() => engine.blocks.pool.usedBlocks === 0, "the engine to free the request's blocks");
    expect(said("pod ejected")).toEqual([]);
  });

  it("cancels a request of which the engine has answered nothing yet", async () => {
    let isClosed = false;
    let isAsked = false;
    const pod = await upstream((_, response) => {
      isAsked = true;
      response.on("close", () => {
        isClosed = true;
      });
    });
    const { url, said } = await gatewayOf([{ url: pod.url }]);
    const client = new AbortController();
    const answer = complete(url, BODY, { signal: client.signal });
    await until(() => isAsked, "the engine to be asked");
    client.abort();
    await expect(answer).rejects.toThrow();
    await until(() => isClosed, "the engine's connection to close");
    expect(said("pod ejected")).toEqual([]);
  });

  it("cuts the client's stream when the engine breaks off, and asks no other pod", async () => {
    const broken = await upstream((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: one\n\n", () => response.destroy());
    });
    let others = 0;
    const other = await upstream((_, response) => {
      others++;
      response.end();
    });
    const { url, said } = await gatewayOf([{ url: broken.url }, { url: other.url }]);
    const response = await complete(url, BODY);
    await expect(response.text()).rejects.toThrow();
    expect(others).toBe(0);
    await until(() => said("pod ejected").length > 0, "the pod to be ejected");
    expect(said("pod ejected")[0].pod).toBe(broken.name);
  });

  it("takes a kept connection that the engine closed for what it is, not for a dead pod", async () => {
    // Closes each connection as its second request comes in, as an engine does whose keep-alive time has just passed.
    const asked = new WeakSet();
    const pod = await upstream((request, response) => {
      if (asked.has(request.socket)) request.socket.destroy();
      else response.end("{}");
      asked.add(request.socket);
    });
    const { url, said } = await gatewayOf([{ url: pod.url }]);
    for (let i = 0; i < 4; i++) {
      const response = await complete(url, BODY);
      expect(response.status).toBe(200);
      await response.text();
    }
    expect(said("pod ejected")).toEqual([]);
  });

  it("survives a client that leaves in the middle of its body", async () => {
    const engine = closing(await startByteEngine());
    const { url } = await gatewayOf([{ url: engine.url }]);
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    const next = await complete(url, BODY);
    expect(next.status).toBe(200);
  });
});

describe("retries", () => {
  it("asks another pod when the first gives no answer, and leaves the first out for a while", async () => {
    const dead = await upstream((request) => request.socket.destroy());
    const engine = closing(await startByteEngine());
    const { url, said } = await gatewayOf([{ url: dead.url }, { url: engine.url }]);
    for (let i = 0; i < 3; i++) {
      const response = await complete(url, { ...BODY, prompt: `prompt ${i}` });
      expect(response.status).toBe(200);
      await response.text();
    }
    expect(said("pod ejected")).toEqual([
      { pod: dead.name, forMs: 10_000, error: expect.stringContaining("socket hang up") },
    ]);
    const name = new URL(engine.url).host;
    expect(said("Served").map(({ pod }) => pod)).toEqual([name, name, name]);
  });

  it("answers 503 when no pod answers", async () => {
    const dead = await upstream((request) => request.socket.destroy());
    const { url } = await gatewayOf([{ url: dead.url }]);
    for (let i = 0; i < 2; i++) {
      const response = await complete(url, BODY);
      expect(response.status).toBe(503);
      expect(await response.json()).toEqual({
        error: {
          message: "No engine is available for the model `base`.",
          type: "ServiceUnavailableError",
          param: null,
          code: 503,
        },
      });
    }
  });

  it("brings a pod back that answers its probes again", async () => {
    const first = await serve((_, response) => response.end("{}"));
    const { gateway, url, said } = await gatewayOf([{ url: first.url }], {
      ejectMs: 50,
      probeIntervalMs: 20,
    });
    const ready = async (): Promise<number> => (await fetch(`${url}/readyz`)).status;
    expect(await ready()).toBe(200);
    await first.close();
    await until(() => said("pod ejected").length > 0, "the pod to be ejected");
    expect(await ready()).toBe(503);
    expect((await complete(url, BODY)).status).toBe(503);
    await serve((_, response) => response.end("{}"), first.port);
    await until(() => said("pod up").length > 1, "the pod to come back");
    expect(await ready()).toBe(200);
    expect((await complete(gateway.url, BODY)).status).toBe(200);
  });
});
