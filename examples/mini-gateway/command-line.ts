/**
 * What the examples' commands share: option values checked, and mistakes told in one line instead of a stack.
 * @module
 */
import { messageOf } from "./log.js";

/** What the person at the command line got wrong. */
export class CommandLineError extends Error {
  override readonly name: string = "CommandLineError";
}

/** @throws CommandLineError with what was typed */
export function integer(name: string, value: string, min: number, max: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= min && number <= max) return number;
  throw new CommandLineError(`--${name} expected an integer from ${min} to ${max}, got ${value}; see --help`);
}

/** @throws CommandLineError with what was typed */
export function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T;
  throw new CommandLineError(`--${name} expected one of ${allowed.join(", ")}, got ${value}; see --help`);
}

/** Run a command; what it throws is printed as one line, and the process ends with 1, as it does for `false`. */
// biome-ignore lint/suspicious/noConfusingVoidType: most commands return nothing
export async function runCommand(command: () => Promise<boolean | void>): Promise<void> {
  try {
    if ((await command()) === false) process.exitCode = 1;
  } catch (error) {
    console.error(isFromParseArgs(error) ? `${firstSentence(error)}; see --help` : messageOf(error));
    process.exitCode = 1;
  }
}

function isFromParseArgs(error: unknown): error is Error {
  return String((error as { code?: unknown } | null)?.code).startsWith("ERR_PARSE_ARGS_");
}

/** Node goes on about arguments that begin with a dash, which no option here takes. */
function firstSentence({ message }: Error): string {
  return message.split(/\. |\n/, 1)[0]!;
}
