/** What the main thread had of the processors (Linux; NaN where the system does not tell it). */
import { openSync, readSync } from "node:fs";

export interface ThreadTime {
  /** How long it ran, milliseconds. */
  readonly ran: number;
  /** How long it was ready to run and had no core. */
  readonly waited: number;
}

const UNKNOWN: ThreadTime = { ran: Number.NaN, waited: Number.NaN };
const text = Buffer.alloc(64);
let stat: number | undefined;

export function threadTime(): ThreadTime {
  if (process.platform !== "linux") return UNKNOWN;
  // The main thread's number is the process's.
  stat ??= openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  // The system brings a running thread's time up to date at its ticks, and when it adds up the whole process.
  process.cpuUsage();
  const [ran, waited] = text.toString("latin1", 0, readSync(stat, text, 0, text.length, 0)).split(" ");
  return { ran: Number(ran) / 1e6, waited: Number(waited) / 1e6 };
}
