/**
 * What the frames of one engine have told, kept by whoever sees both ends: what the engine holds, what the indexer must
 * still believe it holds because the frame that said otherwise was lost, and whether the indexer can be up to date.
 * @module
 */
import { hashKey } from "../../examples/engine/block-pool.js";
import type { CacheEvent } from "../../examples/engine/cache-events.js";

/** A tier and a group: `GPU 0`. */
export type Line = string;
export const ENGINE_LINE: Line = "GPU 0";

interface Change {
  readonly kind: "stored" | "removed";
  readonly entry: string;
}

/** A frame's changes in order; a clearing takes all of the engine's tier. */
type Changes = readonly (Change | { readonly kind: "cleared"; readonly entries: readonly string[] })[];

const entryOf = (line: Line, key: string): string => `${line} ${key}`;
const lineOfEntry = (entry: string): Line => entry.slice(0, entry.lastIndexOf(" "));
const lineOf = ({
  medium = "GPU",
  groupIdx = 0,
}: {
  medium?: string | undefined;
  groupIdx?: number | undefined;
}) => `${medium} ${groupIdx}`;

/** What becomes of a frame that is about to reach the indexer; `unseen`: it must not, see there. */
export type Reception = "reaches" | "unseen";

interface Unreadable {
  readonly kind: "unreadable";
  readonly of: Changes[number];
}

export class Ledger {
  /** Copies that the engine holds, by line and block. */
  readonly #held = new Map<string, number>();
  /** Entries that it ever held. */
  readonly #ever = new Set<string>();
  /** Entries whose removal was in a frame that was lost. */
  readonly #ghosts = new Set<string>();
  /** Entries whose removal was in an event that could not be read. */
  readonly #unreadable = new Set<string>();
  /** Of which something was heard in this life. */
  readonly #heardLines = new Set<Line>();
  /** Every frame and event of this life has reached the indexer. */
  isWhole = true;
  /** The engine's life, its last frame, and the changes of those frames that may yet be lost. */
  #life = 0;
  #published = -1;
  readonly #underWay = new Map<number, readonly (Changes[number] | Unreadable)[]>();
  /** What ended with lives that the indexer does not know to be over. */
  #leftovers: string[] = [];
  /** The last frame that the indexer took for the newest: of which life, its number and its time. */
  #seen: { life: number; seq: number; ts: number } | undefined;
  /** The indexer takes a new life's frames for late ones of the old: its clock is behind. */
  inDoubt = false;

  get life(): number {
    return this.#life;
  }

  get wasHeard(): boolean {
    return this.#seen !== undefined;
  }

  /** Whether the newest frame has not reached the indexer: then nobody can expect it to know. */
  get lags(): boolean {
    return this.inDoubt || this.#seen?.life !== this.#life || this.#seen.seq !== this.#published;
  }

  holds(line: Line, key: string): boolean {
    return this.#held.has(entryOf(line, key));
  }

  everHeld(line: Line, key: string): boolean {
    return this.#ever.has(entryOf(line, key));
  }

  /** Whether the indexer can know of the line: frames of this life that it took say something of it. */
  wasHeardOf(line: Line): boolean {
    return this.#heardLines.has(line);
  }

  isGhost(line: Line, key: string): boolean {
    return this.#ghosts.has(entryOf(line, key)) || this.#unreadable.has(entryOf(line, key));
  }

  /** The engine sends a frame, of which some events may not be readable. */
  publish(seq: number, events: readonly CacheEvent[], isReadable: (event: CacheEvent) => boolean): void {
    this.#published = seq;
    const changes = events.flatMap((event): readonly (Changes[number] | Unreadable)[] => {
      const own = this.#apply(event);
      return isReadable(event) ? own : own.map((of) => ({ kind: "unreadable", of }));
    });
    this.#underWay.set(seq, changes);
  }

  restart(): void {
    this.#life++;
    this.#published = -1;
    this.#leftovers.push(...this.#held.keys(), ...[...this.#underWay.values()].flatMap(removedBy));
    this.#held.clear();
    this.#underWay.clear();
  }

  /**
   * A frame is about to reach the indexer.
   * @returns `unseen` for the one case that nobody can see (docs/design.md, law 4), which is not to be played: a new
   *   life's frame that has exactly the number that the old life's next would have had
   */
  reach(life: number, seq: number, ts: number): Reception {
    const seen = this.#seen;
    if (seen === undefined) this.noticed(life, seq, ts);
    else if (life > seen.life) {
      if (seq === seen.seq + 1) return "unseen";
      if (seq > seen.seq) {
        // It looks as a gap in the old life: what that held is still believed, and the new one is lost up to here.
        this.#haunt(this.#leftovers);
        this.#lose(0, seq);
        this.#accept(life, seq, Math.max(ts, seen.ts));
      } else if (ts > seen.ts) this.noticed(life, seq, ts);
      else this.inDoubt = true;
    } else if (life === seen.life && seq > seen.seq) {
      this.#lose(seen.seq + 1, seq);
      this.#accept(life, seq, Math.max(ts, seen.ts));
    }
    return "reaches";
  }

  /** The indexer takes this frame for one of a new life. */
  noticed(life: number, seq: number, ts: number): void {
    this.#ghosts.clear();
    this.#unreadable.clear();
    this.isWhole = seq === 0;
    this.#heardLines.clear();
    this.#accept(life, seq, ts);
  }

  #accept(life: number, seq: number, ts: number): void {
    this.inDoubt = false;
    if (life !== this.#seen?.life) this.#leftovers = [];
    this.#seen = { life, seq, ts };
    for (const change of this.#underWay.get(seq) ?? []) {
      this.#tell(change);
      if (change.kind === "stored" || change.kind === "removed")
        this.#heardLines.add(lineOfEntry(change.entry));
    }
    for (const number of this.#underWay.keys()) if (number <= seq) this.#underWay.delete(number);
  }

  #tell(change: Changes[number] | Unreadable): void {
    if (change.kind === "unreadable") {
      for (const entry of removedBy([change.of])) this.#unreadable.add(entry);
      this.isWhole = false;
    } else if (change.kind === "stored") this.#ghosts.delete(change.entry);
    else if (change.kind === "cleared")
      for (const ghosts of [this.#ghosts, this.#unreadable])
        for (const entry of ghosts) if (entry.startsWith("GPU")) ghosts.delete(entry);
  }

  #lose(from: number, to: number): void {
    for (let seq = from; seq < to; seq++) this.#haunt(removedBy(this.#underWay.get(seq) ?? []));
    this.isWhole = false;
  }

  #haunt(entries: readonly string[]): void {
    for (const entry of entries) {
      this.#ghosts.add(entry);
    }
  }

  #apply(event: CacheEvent): Changes {
    if (event.type === "AllBlocksCleared") {
      const entries = [...this.#held.keys()].filter((entry) => entry.startsWith("GPU"));
      for (const entry of entries) this.#held.delete(entry);
      return [{ kind: "cleared", entries }];
    }
    const kind = event.type === "BlockStored" ? "stored" : "removed";
    return event.blockHashes.map((digest) => {
      const entry = entryOf(lineOf(event), hashKey(digest));
      const copies = (this.#held.get(entry) ?? 0) + (kind === "stored" ? 1 : -1);
      if (kind === "stored") this.#ever.add(entry);
      if (copies > 0) this.#held.set(entry, copies);
      else this.#held.delete(entry);
      return { kind, entry };
    });
  }
}

function removedBy(changes: readonly (Changes[number] | Unreadable)[]): string[] {
  return changes.flatMap((change) => {
    if (change.kind === "unreadable") return removedBy([change.of]);
    if (change.kind === "cleared") return change.entries;
    return change.kind === "removed" ? [change.entry] : [];
  });
}
