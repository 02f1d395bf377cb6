/**
 * The one channel on which the library speaks up.
 *
 * A diagnostic is raised when its cause is seen and told once per code, model, pod and rank; seen again, it is only
 * counted. Conditions that can end (a gap that a restart heals) are withdrawn. `diagnose()` lists what stands.
 * @module
 */
import type { Diagnostic, DiagnosticCode } from "./types.js";

/** What raises a diagnostic; the count is kept here. */
export type Finding = Omit<Diagnostic, "count">;

/** Distinct diagnostics kept; pods and models come from outside, so their number must not be theirs to choose. */
const MAX_STANDING = 1000;

export class Diagnostics {
  readonly #standing = new Map<string, Diagnostic>();
  readonly #tell: (diagnostic: Diagnostic) => void;

  /** @param tell - the host's callback; null is silence, undefined is `process.emitWarning` */
  constructor(tell: ((diagnostic: Diagnostic) => void) | null | undefined) {
    this.#tell = tell === null ? () => {} : (tell ?? emitWarning);
  }

  /** Tell a finding the first time; afterwards count it and keep its newest evidence. */
  raise(finding: Finding): void {
    const key = keyOf(finding.code, finding.model, finding.pod, finding.dataParallelRank);
    const before = this.#standing.get(key);
    const diagnostic: Diagnostic = { ...finding, count: (before?.count ?? 0) + 1 };
    if (before === undefined && this.#standing.size >= MAX_STANDING) return;
    this.#standing.set(key, diagnostic);
    if (before !== undefined) return;
    try {
      this.#tell(diagnostic);
    } catch (error) {
      // The host's own mistake must not end the frame or the lookup that the finding came from.
      process.emitWarning(`onDiagnostic threw: ${String(error)}`, { type: "KvBlockDiagnostic" });
    }
  }

  /** The cause has ended: it stands no longer, and is told anew if it comes back. */
  withdraw(code: DiagnosticCode, model?: string, pod?: string, dataParallelRank?: number): void {
    this.#standing.delete(keyOf(code, model, pod, dataParallelRank));
  }

  /** Withdraw all that stands about a publisher: its process is another now. */
  forgetPublisher(who: { model: string; pod: string; dataParallelRank: number }): void {
    for (const [key, { model, pod, dataParallelRank }] of this.#standing)
      if (pod === who.pod && model === who.model && dataParallelRank === who.dataParallelRank)
        this.#standing.delete(key);
  }

  /** Forget what stands about a pod. */
  forgetPod(pod: string): void {
    for (const [key, diagnostic] of this.#standing) if (diagnostic.pod === pod) this.#standing.delete(key);
  }

  list(): Diagnostic[] {
    return [...this.#standing.values()];
  }
}

function keyOf(code: DiagnosticCode, model = "", pod = "", rank = -1): string {
  return `${code}\n${model}\n${pod}\n${rank}`;
}

function emitWarning({ code, severity, message, fix }: Diagnostic): void {
  process.emitWarning(`${message} Fix: ${fix}`, {
    type: "KvBlockDiagnostic",
    code: `KVBLOCK_${code.toUpperCase().replaceAll("-", "_")}`,
    detail: severity,
  });
}
