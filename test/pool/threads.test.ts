/** Threads that are late, die or cannot start; queues that are full; callers that leave. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatMessage } from "kvblock";
import { createWorkerPool } from "kvblock/pool";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { poolOf } from "./pools.js";
import { ENDLESS, TINY, tiny } from "./tiny.js";

const MORTAL = new URL("./mortal-worker.mjs", import.meta.url);
const say = (content: string): ChatMessage[] => [{ role: "user", content }];
const endless = { chatTemplate: ENDLESS };
const LONG = "a long prompt ".repeat(100);

describe("a template that does not end", () => {
  it("ends at the deadline with a typed error, and its thread is replaced; the event loop is free meanwhile", async () => {
    const pool = await poolOf({ workers: 1, deadlineMs: 300 });
    const tokenizer = await pool.tokenizer(TINY);
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    onTestFinished(() => clearInterval(timer));
    const late = tokenizer.encodeChat(say("x"), endless);
    // It waits behind the endless one, and is served by the thread that comes after.
    const next = tokenizer.encodeChat(say("after"), {});
    await expect(late).rejects.toMatchObject({ code: "ERR_KVBLOCK_TIMEOUT" });
    expect(turns).toBeGreaterThan(5);
    expect(await next).toEqual(tiny("after"));
    expect(pool.stats()).toMatchObject({ threads: 1, timedOut: 1, died: 0, retried: 0 });
    expect(pool.diagnose()).toEqual([]);
  });

  it("does not keep a tokenizer from being loaded: the thread that comes after loads it", async () => {
    const pool = await poolOf({ workers: 1, deadlineMs: 300, inlineBelow: 0 });
    const first = await pool.tokenizer(TINY);
    const late = expect(first.encodeChat(say("x"), endless)).rejects.toMatchObject({
      code: "ERR_KVBLOCK_TIMEOUT",
    });
    const behind = pool.tokenizer(TINY);
    await late;
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ threads: 1, busy: 0 }));
    // The thread is not up yet. What it cannot load does not end it.
    const bad = expect(pool.tokenizer("/nowhere")).rejects.toMatchObject({ code: "ERR_KVBLOCK_TOKENIZE" });
    const between = pool.tokenizer(TINY);
    for (const tokenizer of [first, await behind, await between])
      expect(await tokenizer.encode("abc", {})).toEqual(tiny("abc"));
    await bad;
    expect(pool.stats()).toMatchObject({ threads: 1, timedOut: 1, died: 0 });
  });

  it("of a model is ended as well", async () => {
    const pool = await poolOf({ workers: 1, deadlineMs: 300 });
    const tokenizer = await pool.tokenizer({ ...TINY, chatTemplate: ENDLESS });
    await expect(tokenizer.encodeChat(say("x"), {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_TIMEOUT" });
  });
});

describe("a queue", () => {
  it("takes as many as it may, and says that it is full to the next", async () => {
    const pool = await poolOf({ workers: 1, maxQueued: 2, deadlineMs: 300 });
    const tokenizer = await pool.tokenizer(TINY);
    const running = tokenizer.encodeChat(say("x"), endless);
    const queued = [tokenizer.encode(LONG, {}), tokenizer.encodeChat(say("b"), {})];
    expect(pool.stats()).toMatchObject({ busy: 1, queued: 2 });
    await expect(tokenizer.encode(LONG, {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_BUSY" });
    await expect(running).rejects.toMatchObject({ code: "ERR_KVBLOCK_TIMEOUT" });
    expect(await Promise.all(queued)).toEqual([tiny(LONG), tiny("b")]);
    expect(pool.stats()).toMatchObject({ busy: 0, queued: 0 });
  });

  it("drops a task whose caller leaves, and ignores the answer of one that runs", async () => {
    const pool = await poolOf({ workers: 1, deadlineMs: 300 });
    const tokenizer = await pool.tokenizer(TINY);
    const leave = new AbortController();
    const { signal } = leave;
    const running = tokenizer.encodeChat(say("x"), { ...endless, signal });
    const queued = tokenizer.encode(LONG, { signal });
    const stays = tokenizer.encode(`${LONG}!`, {});
    expect(pool.stats()).toMatchObject({ busy: 1, queued: 2 });
    leave.abort(new Error("left"));
    await expect(running).rejects.toThrow("left");
    await expect(queued).rejects.toThrow("left");
    expect(pool.stats()).toMatchObject({ busy: 1, queued: 1 });
    expect(await stays).toEqual(tiny(`${LONG}!`));
    await expect(tokenizer.encode("x", { signal })).rejects.toThrow("left");
  });
});

describe("a thread that dies", () => {
  function file(): string {
    const folder = mkdtempSync(join(tmpdir(), "kvblock-pool-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    return join(folder, "died");
  }

  it("is replaced, and its request is done by another", async () => {
    const onDiagnostic = vi.fn();
    const pool = await poolOf({ workers: 2, workerUrl: MORTAL, inlineBelow: 0, onDiagnostic });
    const tokenizer = await pool.tokenizer(TINY);
    const text = `die unless ${file()}`;
    expect(await tokenizer.encode(text, {})).toEqual(tiny(text));
    expect(pool.stats()).toMatchObject({ died: 1, retried: 1 });
    expect(onDiagnostic.mock.calls).toMatchObject([[{ code: "worker-died" }]]);
    await vi.waitFor(() => expect(pool.stats().threads).toBe(2), { timeout: 10_000 });
  });

  it("of the same request twice is a typed error, and others are served", async () => {
    const pool = await poolOf({ workers: 1, workerUrl: MORTAL, inlineBelow: 0 });
    const tokenizer = await pool.tokenizer(TINY);
    const deadly = tokenizer.encode("die", {});
    const other = tokenizer.encode("other", {});
    await expect(deadly).rejects.toMatchObject({ code: "ERR_KVBLOCK_WORKER" });
    expect(await other).toEqual(tiny("other"));
    expect(pool.stats()).toMatchObject({ died: 2, retried: 1 });
  });
});

describe("threads that cannot start", () => {
  it.each([
    ["no such script", new URL("./nowhere.mjs", import.meta.url)],
    ["no URL of a script", "http://nowhere/worker.js"],
  ])("%s: the work is done here, and a diagnostic says so", async (_, workerUrl) => {
    const onDiagnostic = vi.fn();
    const pool = await poolOf({ workers: 2, workerUrl, onDiagnostic });
    expect(onDiagnostic.mock.calls).toMatchObject([[{ code: "workers-unavailable", severity: "warning" }]]);
    expect(pool.diagnose()).toHaveLength(1);
    const tokenizer = await pool.tokenizer(TINY);
    expect(await tokenizer.encode(LONG, {})).toEqual(tiny(LONG));
    expect(await tokenizer.encodeChat(say("abc"), {})).toEqual(tiny("abc"));
    expect(pool.stats().threads).toBe(0);
    // Nothing could end it.
    await expect(tokenizer.encodeChat(say("x"), endless)).rejects.toMatchObject({
      code: "ERR_KVBLOCK_WORKER",
    });
  });
});

describe("close", () => {
  it("rejects what is under way and what comes after, and can be called again", async () => {
    const pool = await poolOf({ workers: 1 });
    const tokenizer = await pool.tokenizer(TINY);
    const ends = [tokenizer.encodeChat(say("x"), endless), tokenizer.encode(LONG, {})].map((end) =>
      expect(end).rejects.toMatchObject({ code: "ERR_KVBLOCK_CLOSED" }),
    );
    await pool.close();
    await Promise.all(ends);
    for (const call of [tokenizer.encode("x", {}), tokenizer.encodeChat(say("x"), {}), pool.tokenizer(TINY)])
      await expect(call).rejects.toMatchObject({ code: "ERR_KVBLOCK_CLOSED" });
    expect(pool.stats().threads).toBe(0);
    await pool.close();
  });

  it("is for the pool's owner: a closed tokenizer leaves the others alone", async () => {
    const pool = await poolOf({ workers: 1 });
    const [one, two] = [await pool.tokenizer(TINY), await pool.tokenizer(TINY)];
    await one.close?.();
    await expect(one.encode(LONG, {})).rejects.toMatchObject({ code: "ERR_KVBLOCK_CLOSED" });
    expect(await two.encode(LONG, {})).toEqual(tiny(LONG));
  });
});

describe("options", () => {
  it.each([
    [{}, '"workers" expected'],
    [{ workers: -1 }, '"workers" expected integer'],
    [{ workers: 1, maxQueue: 3 }, "did you mean maxQueued?"],
    [{ workers: 1, deadlineMs: 0 }, '"deadlineMs" expected'],
    [{ workers: 1, workerUrl: 5 }, '"workerUrl" expected'],
    [{ workers: 1, onDiagnostic: "log" }, '"onDiagnostic" expected'],
  ])("%j is refused", async (options, message) => {
    await expect(createWorkerPool(options as never)).rejects.toThrow(message);
  });
});
