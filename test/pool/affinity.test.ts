/** Turns of one conversation go to one thread, which remembers it; never at the price of a wait. */
import { Worker } from "node:worker_threads";
import type { ChatMessage } from "kvblock";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { affinityOfChat, affinityOfText } from "../../src/affinity.js";
import { ThreadPool } from "../../src/threads/index.js";

const say = (role: string, content: unknown): ChatMessage => ({ role, content }) as ChatMessage;
const SYSTEM = say("system", "You are terse. ".repeat(400));

describe("affinity", () => {
  it("is one number for the turns of a conversation, and another for other conversations", () => {
    const numbers = Array.from({ length: 50 }, (_, i) => {
      const chat = [SYSTEM, say("user", [{ type: "text", text: `${i}: hello` }])];
      const first = affinityOfChat(chat);
      chat.push(say("assistant", "Hi."), say("user", "And then?"));
      expect(affinityOfChat(chat)).toBe(first);
      return first;
    });
    expect(new Set(numbers).size).toBe(50);
    const odd = numbers.filter((number) => Math.abs(number) % 2 === 1).length;
    expect(odd).toBeGreaterThan(10);
    expect(odd).toBeLessThan(40);
    expect(affinityOfText("abc")).not.toBe(affinityOfText("abd"));
    expect(affinityOfChat([null as never, say("user", null), say("user", { x: 1 })])).toEqual(
      expect.any(Number),
    );
  });
});

describe("threads", () => {
  let pool: ThreadPool;
  const ask = (affinity: number | undefined, ms = 0): Promise<number> =>
    pool.run<number>({ message: ms, deadlineMs: 10_000, affinity });
  beforeAll(async () => {
    pool = new ThreadPool({
      size: 2,
      maxQueued: 100,
      spawn: () => new Worker(new URL("./naming-worker.mjs", import.meta.url)),
      onDied: () => {},
      onUnavailable: () => {},
    });
    await pool.start();
    return () => pool.close();
  });

  it("are given their own tasks when they are free", async () => {
    const [even, odd] = [await ask(2), await ask(3)];
    expect(even).not.toBe(odd);
    for (let i = 0; i < 5; i++)
      expect([await ask(4), await ask(-2), await ask(7)]).toEqual([even, even, odd]);
    // When both are busy, each takes its own from the queue.
    const all = await Promise.all([2, 3, 3, 2, 3, 2].map((affinity) => ask(affinity, 20)));
    expect(all).toEqual([even, odd, odd, even, odd, even]);
  });

  it("take others' tasks rather than let them wait", async () => {
    const own = await ask(2);
    const busy = ask(2, 500);
    onTestFinished(async () => void (await busy));
    expect(await ask(2)).not.toBe(own);
    expect(await busy).toBe(own);
  });
});
