/**
 * A pool's thread that dies of texts: of `die` always, of `die unless <file>` where there is no such file, which it then
 * makes.
 */
import { existsSync, writeFileSync } from "node:fs";
import { parentPort } from "node:worker_threads";

parentPort.on("message", ({ message: { text } }) => {
  if (text === "die") process.exit(1);
  const [, file] = /^die unless (.+)$/.exec(text ?? "") ?? [];
  if (file === undefined || existsSync(file)) return;
  writeFileSync(file, "");
  process.exit(1);
});

// After that listener, so that it comes first.
await import("./worker.mjs");
