/** What is being measured, on the terminal: one line that is overwritten, or now and then a line in a log. */

const LOG_EVERY_MS = 10_000;

export class Progress {
  readonly #started = performance.now();
  #logged = performance.now();

  at(what: string): void {
    const line = `${((performance.now() - this.#started) / 1000).toFixed(0)} s: ${what}`;
    if (process.stderr.isTTY)
      process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    else if (performance.now() - this.#logged >= LOG_EVERY_MS) {
      this.#logged = performance.now();
      process.stderr.write(`  … ${line}\n`);
    }
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}
