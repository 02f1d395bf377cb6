/**
 * The one channel on which the library speaks up.
 *
 * A diagnostic is raised when its cause is seen and told once per code, model, pod, rank and source; seen again, it is
 * only counted. What can end (a gap that a restart heals) is withdrawn then. `diagnose()` lists what stands.
 * @module
 */
import type { Diagnostic, DiagnosticCode } from "./types.js";

/** What raises a diagnostic; count and times are kept here. */
export type Finding = Omit<Diagnostic, "count" | "firstSeenAt" | "lastSeenAt">;

/** What tells a finding from the others of its code. */
export type Where = Pick<Diagnostic, "model" | "pod" | "dataParallelRank" | "source">;

/**
 * Names come from outside, so their number must not be theirs to choose. Each code has a room of its own: whatever fills
 * one (clients that ask for a thousand models that nobody serves) crowds out nothing else. All rooms together hold
 * fewer than 6,000.
 */
const MAX_PER_CODE = 256;
/** Every client may name these, and one such finding is like the next. */
const MAX_BY_REQUESTS = 64;
const BY_REQUESTS: ReadonlySet<DiagnosticCode> = new Set(["model-never-announced", "tokenizer-missing"]);

/** In a full room, what was not seen for this long makes way for what is seen now. */
const MAKES_WAY_MS = 3_600_000;

/** Evidence against a finding ends it once its cause was not seen for this long: the two may alternate. */
const QUIET_MS = 600_000;

/** What a source's frames are found at fault for as a whole. */
const OF_FRAMES = ["topic-unusable", "frame-rejected"] as const;

/** From harmless to grave. */
const SEVERITIES: readonly Diagnostic["severity"][] = ["info", "warning", "error"];

export class Diagnostics {
  /** By code and key. */
  readonly #standing = new Map<DiagnosticCode, Map<string, Diagnostic>>();
  readonly #tell: (diagnostic: Diagnostic) => void;
  readonly #clock: () => number;

  /** @param tell - the host's callback; null is silence, undefined is `process.emitWarning` */
  constructor(tell: ((diagnostic: Diagnostic) => void) | null | undefined, clock: () => number) {
    this.#tell = tell === null ? () => {} : (tell ?? emitWarning);
    this.#clock = clock;
  }

  /** Tell a finding the first time, and when it has become worse; else count it and keep its newest evidence. */
  raise(finding: Finding): void {
    const { code } = finding;
    let room = this.#standing.get(code);
    if (room === undefined) this.#standing.set(code, (room = new Map()));
    const now = this.#clock();
    const max = BY_REQUESTS.has(code) ? MAX_BY_REQUESTS : MAX_PER_CODE;
    const key = keyOf(finding);
    const before = room.get(key);
    if (before === undefined && room.size >= max && !makeRoom(room, now)) return;
    const firstSeenAt = before?.firstSeenAt ?? now;
    const diagnostic = { ...finding, count: (before?.count ?? 0) + 1, firstSeenAt, lastSeenAt: now };
    room.set(key, diagnostic);
    if (before !== undefined && SEVERITIES.indexOf(finding.severity) <= SEVERITIES.indexOf(before.severity))
      return;
    const last = room.size < max ? "" : ` (The ${max}th of its kind: others are not told while these stand.)`;
    try {
      this.#tell(last === "" ? diagnostic : { ...diagnostic, message: diagnostic.message + last });
    } catch (error) {
      // The host's own mistake must not end the frame or the lookup that the finding came from.
      process.emitWarning(`onDiagnostic threw: ${String(error)}`, { type: "KvBlockDiagnostic" });
    }
  }

  /** The cause has ended: it stands no longer, and is told anew if it comes back. */
  withdraw(code: DiagnosticCode, model?: string, pod?: string, dataParallelRank?: number): void {
    this.#standing.get(code)?.delete(keyOf({ model, pod, dataParallelRank }));
  }

  /** What was wrong with a source of frames has ended. */
  withdrawFrom(source: string | undefined, code: DiagnosticCode): void {
    this.#standing.get(code)?.delete(keyOf({ source }));
  }

  withdrawIf(ended: (diagnostic: Diagnostic) => boolean): void {
    for (const room of this.#standing.values())
      for (const [key, diagnostic] of room) if (ended(diagnostic)) room.delete(key);
  }

  /** What was found wrong there was just seen to be right: withdraw it, unless it was seen wrong not long ago. */
  contradict(code: DiagnosticCode, where: Where): void {
    const room = this.#standing.get(code);
    // Asked with every frame and lookup, and nearly always there is nothing.
    if (room === undefined || room.size === 0) return;
    const key = keyOf(where);
    const found = room.get(key);
    if (found !== undefined && this.#clock() - found.lastSeenAt >= QUIET_MS) room.delete(key);
  }

  /** A frame of this source is as it should be: as {@link contradict}, of what frames alone are found at fault for. */
  contradictFrom(source: string | undefined): void {
    for (let i = 0; i < OF_FRAMES.length; i++)
      if ((this.#standing.get(OF_FRAMES[i]!)?.size ?? 0) > 0) this.contradict(OF_FRAMES[i]!, { source });
  }

  /** Withdraw all that stands about a publisher: its process is another now. That there are new ones is counted on. */
  forgetPublisher(who: { model: string; pod: string; dataParallelRank: number }): void {
    this.withdrawIf(
      ({ code, model, pod, dataParallelRank }) =>
        pod === who.pod &&
        model === who.model &&
        dataParallelRank === who.dataParallelRank &&
        code !== "engine-restarted",
    );
  }

  /** Forget what stands about a pod. */
  forgetPod(pod: string): void {
    this.withdrawIf((diagnostic) => diagnostic.pod === pod);
  }

  /** What stands, the first told first. */
  list(): Diagnostic[] {
    return [...this.#standing.values()]
      .flatMap((room) => [...room.values()])
      .sort((a, b) => a.firstSeenAt - b.firstSeenAt);
  }
}

/** Whether one that was not seen for long could go. */
function makeRoom(room: Map<string, Diagnostic>, now: number): boolean {
  for (const [key, { lastSeenAt }] of room) if (now - lastSeenAt >= MAKES_WAY_MS) return room.delete(key);
  return false;
}

function keyOf({ model, pod, dataParallelRank, source }: Where): string {
  return JSON.stringify([model, pod, dataParallelRank, source]);
}

function emitWarning({ code, severity, message, fix }: Diagnostic): void {
  process.emitWarning(`${message} Fix: ${fix}`, {
    type: "KvBlockDiagnostic",
    code: `KVBLOCK_${code.toUpperCase().replaceAll("-", "_")}`,
    detail: severity,
  });
}
