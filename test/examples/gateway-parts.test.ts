/** The gateway's parts that need no socket: the config's checks, the model's replacement, the usage in passing bytes. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkConfig } from "../../examples/mini-gateway/config.js";
import { withModel } from "../../examples/mini-gateway/http.js";
import { spacedJson } from "../../examples/mini-gateway/log.js";
import { UsageReader } from "../../examples/mini-gateway/usage.js";

const POD = { url: "http://10.0.0.1:8000", events: "tcp://10.0.0.1:5557" };
const CONFIG = { models: { base: {} }, pods: [POD] };

describe("config", () => {
  it("fills in what is left out", () => {
    expect(checkConfig(CONFIG)).toMatchObject({
      host: "127.0.0.1",
      port: 8000,
      metricsPort: 9090,
      metricsHost: "127.0.0.1",
      beatIntervalMs: 60_000,
      pods: [{ ...POD, name: "10.0.0.1:8000", model: "base" }],
    });
  });

  it("accepts the example beside it", () => {
    const example = new URL("../../examples/mini-gateway/config.example.json", import.meta.url);
    expect(checkConfig(JSON.parse(readFileSync(example, "utf8"))).pods).toMatchObject([
      { events: "tcp://10.0.0.11:5557", replay: "tcp://10.0.0.11:5558" },
      { events: "tcp://10.0.0.12:5557", replay: "tcp://10.0.0.12:5558" },
    ]);
  });

  it("takes every kind of endpoint that kvblock takes", () => {
    const events = ["tcp://[::1]:5557", "tcp://host.example:1", "ipc:///run/kv.sock", "inproc://engine"];
    const pods = events.map((endpoint, i) => ({ url: `http://pod-${i}`, events: endpoint }));
    expect(checkConfig({ ...CONFIG, pods }).pods.map((pod) => pod.events)).toEqual(events);
    for (const bindEvents of ["tcp://*:5557", "tcp://0.0.0.0:*", "tcp://eth0:0", "ipc:///run/kv.sock"])
      expect(checkConfig({ ...CONFIG, bindEvents }).bindEvents).toBe(bindEvents);
  });

  it.each([
    [null, "the config expected an object, got null"],
    [{ pods: [POD] }, "models expected an object, got nothing"],
    [{ models: {}, pods: [POD] }, "models expected at least one model"],
    [{ models: { base: {} }, pods: [] }, "pods expected a list of at least 1, got []"],
    [{ ...CONFIG, prot: 1 }, "prot is not a field (did you mean port?)"],
    [{ ...CONFIG, zzz: 1 }, "zzz is not a field; known: host, port,"],
    [{ ...CONFIG, port: "8000" }, 'port expected an integer from 0 to 65535, got "8000"'],
    [{ ...CONFIG, port: 65_536 }, "port expected an integer from 0 to 65535, got 65536"],
    [{ ...CONFIG, scoreTimeoutMs: 0 }, "scoreTimeoutMs expected an integer from 1 to 86400000, got 0"],
    [{ ...CONFIG, pods: [{}] }, "pods[0].url expected an http or https URL without a path, got nothing"],
    [{ ...CONFIG, pods: [{ ...POD, url: "http://a/v1" }] }, "pods[0].url expected an http or https URL"],
    [{ ...CONFIG, pods: [{ ...POD, url: "10.0.0.1:8000" }] }, "pods[0].url expected an http or https URL"],
    [{ ...CONFIG, pods: [{ ...POD, event: "x" }] }, "pods[0].event is not a field (did you mean events?)"],
    [{ ...CONFIG, pods: [{ ...POD, events: "10.0.0.1:5557" }] }, "pods[0].events expected a ZeroMQ endpoint"],
    [
      { ...CONFIG, pods: [{ url: POD.url }] },
      "pods[0].events expected the endpoint of its events, or bindEvents",
    ],
    ...["tcp://10.0.0.1:port", "tcp://10.0.0.1", "tcp://10.0.0.1:0", "tcp://*:5557", "tcp://:5557"].map(
      (events): [object, string] => [
        { ...CONFIG, pods: [{ ...POD, events }] },
        `pods[0].events expected a ZeroMQ endpoint to connect to such as tcp://host:5557, got "${events}"`,
      ],
    ),
    [
      { ...CONFIG, pods: [POD, { url: "http://b", events: "tcp://b:70000" }] },
      'pods[1].events expected a ZeroMQ endpoint to connect to such as tcp://host:5557, got "tcp://b:70000"',
    ],
    [
      { ...CONFIG, bindEvents: "tcp://0.0.0.0:x" },
      'bindEvents expected a ZeroMQ endpoint to bind such as tcp://0.0.0.0:5557, got "tcp://0.0.0.0:x"',
    ],
    [
      { ...CONFIG, pods: [{ ...POD, replay: "10.0.0.1:5558" }] },
      "pods[0].replay expected a ZeroMQ endpoint to connect to",
    ],
    [
      { ...CONFIG, bindEvents: "tcp://*:5557", pods: [{ url: POD.url, replay: "tcp://10.0.0.1:5558" }] },
      "pods[0].replay expected pods[0].events beside it: of what connects to bindEvents it is not known who it is",
    ],
    [{ ...CONFIG, pods: [POD, POD] }, "pods expected different names, got 10.0.0.1:8000 twice"],
    [{ ...CONFIG, pods: [{ ...POD, model: "x" }] }, "pods[0].model expected one of base, got x"],
    [{ models: { a: {}, b: {} }, pods: [POD] }, "pods[0].model expected one of a, b, got nothing"],
    [
      { models: { a: { aliases: ["b"] }, b: {} }, pods: [POD] },
      "models expected different names, got b twice",
    ],
    [{ ...CONFIG, models: { base: { loras: [1] } } }, 'models["base"].loras[0] expected a text, got 1'],
    [
      { ...CONFIG, models: { base: { drafting: 1 } } },
      'models["base"].drafting expected true or false, got 1',
    ],
    [
      { ...CONFIG, models: { base: { hash: {} } } },
      'models["base"].hash.mode expected one of auto, tokens, exact',
    ],
    [
      { ...CONFIG, models: { base: { hash: { mode: "exakt" } } } },
      'hash.mode expected one of auto, tokens, exact, got "exakt" (did you mean exact?)',
    ],
    [
      { ...CONFIG, models: { base: { hash: { mode: "exact", algorithm: "sha256" } } } },
      'models["base"].hash.seed expected the engines\' PYTHONHASHSEED, got nothing',
    ],
    [
      { ...CONFIG, models: { base: { hash: { mode: "tokens", seed: "0" } } } },
      'models["base"].hash.seed is not a field; known: mode',
    ],
  ])("refuses %j, and says why", (value, message) => {
    expect(() => checkConfig(value)).toThrow(message);
  });
});

describe("withModel", () => {
  const change = (json: string): string => withModel(Buffer.from(json), 'new "one"').toString();

  it("changes the top level's model and nothing else, byte for byte", () => {
    expect(change('{ "seed":9007199254740993, "t":1.0,"model" : "old","x":{"model":"kept"} }')).toBe(
      '{ "seed":9007199254740993, "t":1.0,"model" : "new \\"one\\"","x":{"model":"kept"} }',
    );
    expect(change('{"prompt":"model","a":["model","old"],"model":"old"}')).toBe(
      '{"prompt":"model","a":["model","old"],"model":"new \\"one\\""}',
    );
    expect(change('{"prompt":"\\"model\\":\\"old\\\\","mod\\u0065l":"old","é":"ü"}')).toBe(
      '{"prompt":"\\"model\\":\\"old\\\\","mod\\u0065l":"new \\"one\\"","é":"ü"}',
    );
  });

  it("takes prompts of megabytes, escapes and all", () => {
    const prompt = 'line\n"quoted"\\'.repeat(500_000);
    const json = change(JSON.stringify({ prompt, model: "old" }));
    expect(JSON.parse(json)).toEqual({ prompt, model: 'new "one"' });
  });
});

describe("UsageReader", () => {
  const usage = { prompt_tokens: 192, completion_tokens: 50, prompt_tokens_details: { cached_tokens: 128 } };
  const read = (text: string, step: number): UsageReader["usage"] => {
    const reader = new UsageReader();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    return reader.usage;
  };

  it.each([1, 2, 7, 64, 100_000])("finds it in answers that come in pieces of %i bytes", (step) => {
    const found = { promptTokens: 192, cachedTokens: 128 };
    const choices = [{ text: 'says "usage": {"prompt_tokens": 1}', logprobs: { tokens: ["usage", "ü"] } }];
    expect(read(JSON.stringify({ choices, usage, prompt_token_ids: [1, 2] }), step)).toEqual(found);
    expect(read(JSON.stringify({ choices, usage }, null, 2), step)).toEqual(found);
    const stream = [
      { choices, usage: null },
      { choices: [], usage: { ...usage, prompt_tokens: 1 } },
      { usage },
    ];
    const text = `${stream.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
    expect(read(text, step)).toEqual(found);
  });

  it("tells no count from a count", () => {
    expect(read('{"usage":{"prompt_tokens":5,"prompt_tokens_details":null}}', 9)).toEqual({
      promptTokens: 5,
      cachedTokens: undefined,
    });
    for (const text of [
      '{"usage":null}',
      '{"usage":{"prompt_tokens":"5"}}',
      '{"usage":{oops}}',
      '{"usage":{"a":1',
    ])
      expect(read(text, 3)).toBeUndefined();
  });

  it("goes on after an object that never ends", () => {
    const text = `{"usage":{"x":"${"y".repeat(10_000)}"} {"usage":{"prompt_tokens":7}}`;
    expect(read(text, 512)).toEqual({ promptTokens: 7, cachedTokens: undefined });
  });
});

it("writes JSON with a space after each colon and comma, and no undefined fields", () => {
  expect(spacedJson({ a: null, b: undefined, c: ["x: y", 1.5], d: { "10.0.0.1:8000": 2 } })).toBe(
    '{"a": null, "c": ["x: y", 1.5], "d": {"10.0.0.1:8000": 2}}',
  );
});
