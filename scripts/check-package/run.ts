/**
 * Running other programs: quiet when they succeed, their whole output when they do not.
 * @module
 */
import { spawnSync } from "node:child_process";

/** A check that did not hold; its message is what a person needs to see. */
export class CheckFailed extends Error {}

/** npm hands its own settings for this repository to its scripts; a fresh install elsewhere must not see them. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local)/.test(name)),
);

/**
 * @param cwd - the directory that it runs in
 * @returns what it wrote to stdout
 * @throws CheckFailed with its output if it cannot start or ends with anything but 0
 */
export function run(cwd: string, command: string, ...args: readonly string[]): string {
  const result = spawnSync(command, args, { cwd, env: environment, encoding: "utf8", maxBuffer: 2 ** 26 });
  if (result.status === 0) return result.stdout;
  const ending = result.error?.message ?? `ended with ${result.status ?? result.signal}`;
  throw new CheckFailed(
    `${command} ${args.join(" ")}\n${ending}\n${result.stdout ?? ""}${result.stderr ?? ""}`,
  );
}

/** Run one named check and print its name with what it returns. */
export function step(name: string, check: () => string | undefined): void {
  const started = performance.now();
  const detail = check();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`ok  ${name}${detail === undefined ? "" : `: ${detail}`} (${seconds} s)`);
}
