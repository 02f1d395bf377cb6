import { describe, expect, it } from "vitest";
import { SequenceTracker } from "../../src/publisher/index.js";

const payload = (n: number): Uint8Array => Uint8Array.from([0x93, n & 255, n >> 8]);

/** A tracker that has seen frames `from` … `to`, one a second. */
function seen(from: number, to: number): SequenceTracker {
  const tracker = new SequenceTracker();
  for (let n = from; n <= to; n++) tracker.judge(BigInt(n), n, payload(n));
  return tracker;
}

describe("a publisher's sequence", () => {
  it("begins with whatever number comes first, and says how many are missing before it", () => {
    expect(new SequenceTracker().judge(0n, 1, payload(0))).toEqual({ kind: "first", lost: 0n });
    expect(new SequenceTracker().judge(1n, 1, payload(0))).toEqual({ kind: "first", lost: 1n });
    expect(new SequenceTracker().judge(900n, 1, payload(0))).toEqual({ kind: "first", lost: 900n });
  });

  it("goes on by one", () => {
    expect(seen(0, 4).judge(5n, 5, payload(5))).toEqual({ kind: "next", lost: 0n });
  });

  it("tells a gap and how wide it is, and goes on from there", () => {
    const tracker = seen(0, 4);
    expect(tracker.judge(8n, 8, payload(8))).toEqual({ kind: "gap", lost: 3n });
    expect(tracker.judge(9n, 9, payload(9))).toEqual({ kind: "next", lost: 0n });
  });

  it("knows a frame that came twice by its bytes, even the last, even with a new batch time", () => {
    for (const n of [4, 3, 0]) expect(seen(0, 4).judge(BigInt(n), n, payload(n)).kind).toBe("duplicate");
    expect(seen(0, 4).judge(4n, 999, payload(4)).kind).toBe("duplicate");
  });

  it("takes an older batch under an old number for a late frame, and is not moved by it", () => {
    const tracker = seen(0, 2);
    tracker.judge(5n, 5, payload(5));
    expect(tracker.judge(4n, 4, payload(4))).toEqual({ kind: "late", lost: 0n, doubtful: false });
    expect(tracker.last).toBe(5n);
    expect(tracker.judge(6n, 6, payload(6)).kind).toBe("next");
  });

  it("takes a newer batch under an old number for a restarted engine", () => {
    for (const n of [0, 1, 4]) {
      const tracker = seen(0, 4);
      expect(tracker.judge(BigInt(n), 100, payload(77))).toEqual({ kind: "restart", lost: BigInt(n) });
      expect(tracker.judge(BigInt(n + 1), 101, payload(78)).kind).toBe("next");
    }
  });

  it("takes a run of batches that contradict what was seen for a restarted engine whose clock is behind", () => {
    const tracker = seen(100, 300);
    for (const n of [100, 101])
      expect(tracker.judge(BigInt(n), n - 90, payload(n + 1000)).kind, String(n)).toBe("late");
    expect(tracker.judge(102n, 12, payload(1102))).toEqual({ kind: "restart", lost: 102n });
    expect(tracker.judge(103n, 13, payload(1103)).kind).toBe("next");
    expect(tracker.judge(300n, 300, payload(300)).kind).toBe("gap"); // the old life's frames are forgotten
  });

  it("knows the first frames of a long life by heart, so that the next one is known by its own", () => {
    const tracker = seen(0, 5000);
    expect(tracker.judge(0n, -3, payload(9000)).kind).toBe("late");
    expect(tracker.judge(1n, -2, payload(9001)).kind).toBe("late");
    expect(tracker.judge(2n, -1, payload(9002)).kind).toBe("restart");
  });

  it("doubts from the first frame that contradicts what was seen, or was made before a restart", () => {
    expect(seen(0, 20).judge(3n, -5, payload(99))).toEqual({ kind: "late", lost: 0n, doubtful: true });
    const restarted = seen(0, 4);
    restarted.judge(0n, 100, payload(50));
    expect(restarted.judge(7n, 7, payload(7))).toEqual({ kind: "late", lost: 0n, doubtful: true });
    expect(restarted.judge(1n, 101, payload(51)).kind).toBe("next");
  });

  it("takes a long run of late frames for one, whatever their numbers were before", () => {
    const tracker = seen(5000, 5100);
    for (let n = 10; n < 41; n++) expect(tracker.judge(BigInt(n), n, payload(n)).kind).toBe("late");
    expect(tracker.judge(41n, 41, payload(41)).kind).toBe("restart");
  });

  it.each([
    ["now and then", [3, 9, 4, 11, 2]],
    ["backwards", [9, 8, 7, 6, 5, 4]],
  ])("a dead process's frames that come %s after its successor's are late ones", (_how, numbers) => {
    const tracker = seen(0, 20);
    for (const n of numbers) expect(tracker.judge(BigInt(n), n - 50, payload(n + 700)).kind).toBe("late");
    expect(tracker.judge(21n, 21, payload(21)).kind).toBe("next");
  });

  it("a run is broken by a frame that goes on where the last one was", () => {
    const tracker = seen(0, 20);
    for (let n = 0; n < 12; n += 2) {
      expect(tracker.judge(BigInt(n), n - 50, payload(n + 700)).kind).toBe("late");
      expect(tracker.judge(BigInt(n + 1), n - 49, payload(n + 701)).kind).toBe("late");
      expect(tracker.judge(BigInt(21 + n / 2), 21 + n, payload(21 + n)).kind).toBe("next");
    }
  });

  it("does not know the frames of a life before", () => {
    const tracker = seen(0, 4);
    tracker.judge(0n, 100, payload(50));
    expect(tracker.judge(3n, 103, payload(3))).toEqual({ kind: "gap", lost: 2n });
  });

  it("holds sequence numbers past 2^53", () => {
    const tracker = new SequenceTracker();
    tracker.judge(2n ** 63n, 1, payload(1));
    expect(tracker.judge(2n ** 63n + 1n, 2, payload(2)).kind).toBe("next");
  });
});
