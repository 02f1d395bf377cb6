/** How many replays run at once: a turn is given to one, and comes back however its holder ends. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inReplayTurn } from "../../src/events/replay-turns.js";

const AT_ONCE = 4;
const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const jitter = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

// Turns begin up to 50 ms late, at random: here by that whole time.
beforeEach(() => void vi.spyOn(Math, "random").mockReturnValue(0.99));
afterEach(() => void vi.restoreAllMocks());

/** Replays that run until the test ends them. */
function replays() {
  const running: string[] = [];
  const ends = new Map<string, () => void>();
  const start = (name: string, signal = never): Promise<string> =>
    inReplayTurn(signal, async (answered) => {
      answered();
      running.push(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      running.splice(running.indexOf(name), 1);
      return name;
    });
  return { running, start, end: (name: string) => ends.get(name)!() };
}

/** As many turns as there should be can be had at once, and no more. */
async function expectAllTurnsFree(): Promise<void> {
  const { running, start, end } = replays();
  const names = ["one", "two", "three", "four", "five"];
  const all = names.map((name) => start(name));
  await jitter();
  expect(running).toHaveLength(AT_ONCE);
  for (const name of [...running]) end(name);
  await jitter();
  expect(running).toEqual(["five"]);
  end("five");
  expect(await Promise.all(all)).toEqual(names);
}

describe("a replay's turn", () => {
  it("comes when another's is over, in order, with what the replay gives", expectAllTurnsFree);

  it("is given up at once by who is told to stop while queued, and by nobody else", async () => {
    const { running, start, end } = replays();
    const holders = ["a", "b", "c", "d"].map((name) => start(name));
    await jitter();
    const stop = new AbortController();
    const queued = start("stopped", stop.signal);
    const next = start("next");
    const reason = new Error("enough");
    stop.abort(reason);
    const late = "still queued";
    expect(await Promise.race([queued.catch((error: unknown) => error), jitter().then(() => late)])).toBe(
      reason,
    );
    expect(running).toEqual(["a", "b", "c", "d"]);
    end("a");
    await jitter();
    expect(running).toEqual(["b", "c", "d", "next"]);
    for (const name of ["b", "c", "d", "next"]) end(name);
    await Promise.all([...holders, next]);
    await expectAllTurnsFree();
  });

  it("comes back from who is told to stop as it is given, and as it begins", async () => {
    const { start, end } = replays();
    const holders = ["a", "b", "c", "d"].map((name) => start(name));
    await jitter();
    const stop = new AbortController();
    const reason = new Error("enough");
    const queued = start("stopped", stop.signal).catch((error: unknown) => error);
    end("a");
    await turn(); // the turn is given, and begins up to some milliseconds later
    stop.abort(reason);
    expect(await queued).toBe(reason);
    for (const name of ["b", "c", "d"]) end(name);
    await Promise.all(holders);
    await expectAllTurnsFree();
  });

  it("is not taken by who was told to stop before, and comes back from a replay that fails", async () => {
    const reason = new Error("enough");
    for (let i = 0; i < AT_ONCE; i++) {
      await expect(inReplayTurn(AbortSignal.abort(reason), () => Promise.resolve())).rejects.toBe(reason);
      await expect(inReplayTurn(never, () => Promise.reject(reason))).rejects.toBe(reason);
    }
    await expectAllTurnsFree();
  });

  it("goes on to the next when nobody answers, who may answer still", async () => {
    const started: string[] = [];
    const ends: (() => void)[] = [];
    const silent = Array.from({ length: 12 }, (_, i) =>
      inReplayTurn(new AbortController().signal, async () => {
        started.push(`silent ${i}`);
        await new Promise<void>((resolve) => ends.push(resolve));
        return i;
      }),
    );
    const began = performance.now();
    await inReplayTurn(never, async () => void started.push("answers"));
    // Three times four that are silent for a quarter of a second each; a busy machine takes its time.
    expect(performance.now() - began).toBeLessThan(3000);
    expect(started).toHaveLength(13);
    for (const end of ends) end();
    expect(await Promise.all(silent)).toEqual(Array.from({ length: 12 }, (_, i) => i));
    await expectAllTurnsFree();
  });

  it("does not keep the process alive until it begins", async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = timers();
    const done = inReplayTurn(never, () => Promise.resolve());
    await Promise.resolve();
    await Promise.resolve();
    expect(timers()).toBe(before);
    await jitter();
    await done;
  });
});
