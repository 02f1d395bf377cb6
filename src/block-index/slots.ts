/**
 * Slots: the small integers that a block's holders are written as.
 *
 * A **line** is what the engine's events speak of: one publisher (owner), device tier and attention group. A **slot**
 * is one era of a line: its role and whether it is suspect. Voiding a restarted engine or ending a suspicion changes a
 * few slots instead of millions of entries, so it is done at once; the table sweeps the dead entries out later.
 * @module
 */
import { checkInteger, rangeMistake } from "../errors.js";
import { CacheTurn } from "./cache-turn.js";

/** What an entry under a slot says. `Removed` is a mark: this block's removal was seen, though its store was not. */
export const Role = { Held: 0, Implied: 1, Removed: 2 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** Added to the role of a slot whose entries count for nothing: see {@link Slots.doubt}. */
export const DOUBTED = 4;

/** Slot numbers fit 20 bits, so that a holder word has 12 bits left for its count. */
export const MAX_SLOTS: number = 2 ** 20;
const FIRST_SLOTS = 64;
const SLOT_BYTES = 16;
/** Of the memory limit, for all slots: reached at limits below 256 MiB. */
const PART_OF_LIMIT = 1 / 16;

/** Of the slots, lines at once: with a slot for each of their roles, and the suspect ones, they always fit into the slots. */
const LINES_PART = 1 / 8;

/** Suspect slots of a line: one or two for each gap since it was last whole. Of all lines together, a part of the slots. */
const MAX_SUSPECTS = 64;
const SUSPECTS_PART = 1 / 4;

/** Owner of a dead slot; real owners are >= 1. */
export const NO_OWNER = 0;

/** One publisher's holdings of one tier and attention group. Made by {@link Slots.openLine}. */
export interface HolderLine {
  readonly id: number;
  /** The publisher, an integer >= 1. */
  readonly owner: number;
  /** Index of the tier's name (see `tiers.ts`). */
  readonly tier: number;
  /** Attention group, 0 … 31. */
  readonly group: number;
  /** Slot of new entries by role; undefined until first needed. */
  readonly slots: [held: number | undefined, implied: number | undefined, removed: number | undefined];
  /** Slots whose entries may have been removed by a lost frame, oldest first. */
  readonly suspects: number[];
  readonly turn: CacheTurn;
  /** Leave a mark where a removal is seen: wanted while the publisher's history is incomplete. */
  leaveMarks: boolean;
  /** Count physical copies; false where the engine announces blocks again that it merely reuses. */
  countCopies: boolean;
  /** What it holds counts for nothing: see {@link Slots.doubt}. */
  doubted: boolean;
}

/** The slots of one table, as parallel arrays by slot number. Slot 0 is never used. */
export class Slots {
  owner: Int32Array = new Int32Array(FIRST_SLOTS);
  /** The line's id; of a dead slot, negated. */
  line: Int32Array = new Int32Array(FIRST_SLOTS);
  tier: Uint8Array = new Uint8Array(FIRST_SLOTS);
  group: Uint8Array = new Uint8Array(FIRST_SLOTS);
  /** A {@link Role}, with {@link DOUBTED} or without. */
  role: Uint8Array = new Uint8Array(FIRST_SLOTS);
  /** 1 if entries of this slot may have been removed by a lost frame. */
  suspect: Uint8Array = new Uint8Array(FIRST_SLOTS);
  /** Entries (blocks) under the slot. */
  resident: Uint32Array = new Uint32Array(FIRST_SLOTS);

  /** How many slots died: what was worked out of slots may be otherwise since. */
  deaths = 0;
  readonly #maxSlots: number;
  #next = 1;
  readonly #free: number[] = [];
  #lineIds = 0;
  #lines = 0;
  #suspects = 0;
  /** Dead slots wait for one whole pass of the sweep before their number is used again. */
  #diedBeforePass: number[] = [];
  #diedDuringPass: number[] = [];

  constructor(memoryLimitBytes: number) {
    const fit = Math.floor((memoryLimitBytes * PART_OF_LIMIT) / SLOT_BYTES);
    this.#maxSlots = Math.min(MAX_SLOTS, 2 ** Math.floor(Math.log2(fit)));
  }

  /** Bytes of the arrays. */
  get bytes(): number {
    return this.owner.length * SLOT_BYTES;
  }

  /** Whether the table still may hold entries of dead slots. */
  get sweepNeeded(): boolean {
    return this.#diedBeforePass.length + this.#diedDuringPass.length > 0;
  }

  get canOpenLine(): boolean {
    return this.#lines < this.#maxSlots * LINES_PART;
  }

  /** @throws RangeError if `group` is not within 0 … 31, or there are as many lines as there may be */
  openLine(owner: number, tier: number, group: number): HolderLine {
    checkInteger("group", group, 0, 31);
    if (!this.canOpenLine)
      throw rangeMistake("lines", `at most ${this.#maxSlots * LINES_PART}`, this.#lines + 1);
    this.#lines++;
    return {
      id: ++this.#lineIds,
      owner,
      tier,
      group,
      slots: [undefined, undefined, undefined],
      suspects: [],
      turn: new CacheTurn(),
      leaveMarks: false,
      countCopies: true,
      doubted: false,
    };
  }

  /** A line was closed and is not used again. */
  closeLine(): void {
    this.#lines--;
  }

  /** Whether all slots are in use, or dead and not swept yet. */
  get isFull(): boolean {
    return this.#next >= this.#maxSlots && this.#free.length === 0;
  }

  /** The line's slot for new entries of a role. */
  of(line: HolderLine, role: Role): number {
    return (line.slots[role] ??= this.#open(line, role));
  }

  /** Blocks held by the line, implied ones included. */
  residents(line: HolderLine): number {
    const { slots, suspects } = line;
    const held = slots[Role.Held];
    const implied = slots[Role.Implied];
    let sum = held === undefined ? 0 : this.resident[held]!;
    if (implied !== undefined) sum += this.resident[implied]!;
    for (let i = 0; i < suspects.length; i++)
      if (this.role[suspects[i]!] !== Role.Removed) sum += this.resident[suspects[i]!]!;
    return sum;
  }

  /**
   * What the line holds now becomes suspect; new entries get new slots. After very many gaps the oldest of what is
   * suspect is void. Returns how many entries that were.
   */
  makeSuspect(line: HolderLine): number {
    for (const role of [Role.Held, Role.Implied] as const) {
      const slot = line.slots[role];
      if (slot === undefined) continue;
      this.suspect[slot] = 1;
      line.suspects.push(slot);
      line.turn.suspectSince.push(line.turn.stored);
      this.#suspects++;
      line.slots[role] = undefined;
    }
    line.turn.gapAt = line.turn.stored;
    let voided = 0;
    for (let i = 0; i < line.suspects.length; )
      if (
        this.resident[line.suspects[i]!] === 0 ||
        line.suspects.length > MAX_SUSPECTS ||
        this.#suspects > this.#maxSlots * SUSPECTS_PART
      ) {
        line.turn.suspectSince.splice(i, 1);
        voided += this.#close(line.suspects.splice(i, 1)[0]!);
        this.#suspects--;
      } else i++;
    return voided;
  }

  /** Void the line's suspect entries at once, of so many gaps, the oldest first. Returns how many entries. */
  closeSuspects(line: HolderLine, gaps: number = line.suspects.length): number {
    const closed = line.suspects.splice(0, gaps);
    line.turn.suspectSince.splice(0, gaps);
    this.#suspects -= closed.length;
    return closed.reduce((sum, slot) => sum + this.#close(slot), 0);
  }

  /**
   * Blocks were stored or removed: void what the cache has turned over since. Suspects go one turn after their gap,
   * marks after one to two turns. Returns how many entries were void.
   *
   * @param stored - blocks that the line did not hold for sure before
   * @param evicted - blocks it holds no more
   * @param unknown - removals of blocks it did not hold
   */
  turnOver(line: HolderLine, stored: number, evicted: number, unknown: number): number {
    const { turn, slots } = line;
    turn.stored += stored;
    if (evicted + unknown > 0) turn.noteRemovals(evicted, unknown, this.residents(line) + evicted);
    if (turn.hasTurned(turn.marksSince)) {
      if (turn.formerMarks !== undefined) this.#close(turn.formerMarks);
      turn.formerMarks = slots[Role.Removed];
      slots[Role.Removed] = undefined;
      turn.marksSince = turn.stored;
    }
    let gaps = 0;
    while (gaps < line.suspects.length && turn.hasTurned(turn.suspectSince[gaps]!)) gaps++;
    return gaps === 0 ? 0 : this.closeSuspects(line, gaps);
  }

  /** Void the line's marks: nothing is passed over any more. */
  closeMarks(line: HolderLine): void {
    for (const slot of [line.turn.formerMarks, line.slots[Role.Removed]])
      if (slot !== undefined) this.#close(slot);
    line.turn.formerMarks = line.slots[Role.Removed] = undefined;
  }

  /** From now on what the line holds counts for nothing in scores, or counts again. Its marks go on to tell removals. */
  doubt(line: HolderLine, doubted: boolean): void {
    line.doubted = doubted;
    for (const slot of [...line.slots, ...line.suspects]) {
      if (slot === undefined || this.role[slot] === Role.Removed) continue;
      this.role[slot] = doubted ? this.role[slot]! | DOUBTED : this.role[slot]! & ~DOUBTED;
    }
  }

  /** Void all of the line's entries and marks at once. Returns how many entries it held. */
  close(line: HolderLine): number {
    let voided = this.closeSuspects(line);
    this.closeMarks(line);
    for (const role of [Role.Held, Role.Implied] as const) {
      const slot = line.slots[role];
      line.slots[role] = undefined;
      if (slot !== undefined) voided += this.#close(slot);
    }
    return voided;
  }

  /** The sweep has gone once through the whole table: slots that were dead when it began are free again. */
  passCompleted(): void {
    for (const slot of this.#diedBeforePass) this.#free.push(slot);
    this.#diedBeforePass = this.#diedDuringPass;
    this.#diedDuringPass = [];
  }

  #open(line: HolderLine, role: Role): number {
    if (this.isFull)
      throw rangeMistake("slots", `fewer than ${this.#maxSlots} publishers × tiers × groups`, this.#next);
    const slot = this.#free.pop() ?? this.#next++;
    if (slot >= this.owner.length) this.#grow();
    this.owner[slot] = line.owner;
    this.line[slot] = line.id;
    this.tier[slot] = line.tier;
    this.group[slot] = line.group;
    this.role[slot] = line.doubted && role !== Role.Removed ? role | DOUBTED : role;
    this.suspect[slot] = 0;
    this.resident[slot] = 0;
    return slot;
  }

  #close(slot: number): number {
    const resident = this.resident[slot]!;
    this.deaths++;
    this.owner[slot] = NO_OWNER;
    // Negative, it matches no line, and still says whose it was until the slot is used again.
    this.line[slot] = -this.line[slot]!;
    // Without entries in the table there is nothing to sweep.
    if (resident === 0) this.#free.push(slot);
    else this.#diedDuringPass.push(slot);
    return resident;
  }

  #grow(): void {
    const length = this.owner.length * 2;
    const grown = <T extends Int32Array | Uint32Array | Uint8Array>(old: T, into: T): T => {
      into.set(old);
      return into;
    };
    this.owner = grown(this.owner, new Int32Array(length));
    this.line = grown(this.line, new Int32Array(length));
    this.tier = grown(this.tier, new Uint8Array(length));
    this.group = grown(this.group, new Uint8Array(length));
    this.role = grown(this.role, new Uint8Array(length));
    this.suspect = grown(this.suspect, new Uint8Array(length));
    this.resident = grown(this.resident, new Uint32Array(length));
  }
}
