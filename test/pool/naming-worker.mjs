/** A thread that answers with its number, after as many milliseconds as it is told. */
import { parentPort, threadId } from "node:worker_threads";
import { register } from "tsx/esm/api";

register();
const { serve } = await import("../../src/threads/index.ts");
serve(parentPort, async (ms) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return { value: threadId };
});
