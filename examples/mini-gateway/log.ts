/**
 * Log lines, and errors in words: `2026-01-31T12:00:00.000Z  INFO  gateway  Got pod scores {"x-request-id": "…", "scores": null}`.
 * @module
 */
import type { Diagnostic } from "kvblock";

export type Level = "INFO" | "WARN" | "ERROR";

/** Writes one line: what happened, and its particulars. */
export type Log = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** @param write - given each line, without a line end */
export function createLog(write: (line: string) => void): Log {
  return (level, message, fields) => {
    const tail = fields === undefined ? "" : ` ${spacedJson(fields)}`;
    write(`${new Date().toISOString()}  ${level}  gateway  ${message}${tail}`);
  };
}

/** JSON with a space after each colon and comma, on one line; fields that are undefined are left out. */
export function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}: ${spacedJson(field)}`).join(", ")}}`;
}

/** An error's message, and its cause's where that adds something: fetch says no more than "fetch failed" by itself. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message || (error as { code?: string }).code || error.name;
  if (error.cause === undefined) return own;
  const cause = messageOf(error.cause);
  // "ENOENT: no such file or directory, stat '/x'": what is between is often what was made the message around it.
  const told = /^[A-Z]+: (.+), \w+/.exec(cause)?.[1] ?? cause;
  return own.includes(told) ? own : `${own}: ${cause}`;
}

/** Writes each of kvblock's diagnostics as a line. */
export function tellDiagnostics(log: Log): (diagnostic: Diagnostic) => void {
  const levels = { info: "INFO", warning: "WARN", error: "ERROR" } as const;
  return ({ code, severity, message, fix }) => log(levels[severity], `[${code}] ${message} ${fix}`);
}
