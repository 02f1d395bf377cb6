/**
 * One question in a process of its own: what ran before leaves neither heap nor compiled code to it. Started by
 * processes.ts; its arguments are one piece of JSON, its figures go over the IPC channel.
 */
import type { Question } from "./question.js";
import { runOf } from "./question.js";

const { question, full, options } = JSON.parse(process.argv[2]!) as {
  question: string;
  full: boolean;
  options: Record<string, string>;
};
process.on("disconnect", () => process.exit(1));
const { run } = (await import(`../${question}.ts`)) as Question;
await run(runOf(question, { full, options }, (message) => process.send!(message)));
process.disconnect?.();
process.exit();
