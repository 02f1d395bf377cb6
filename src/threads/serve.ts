/**
 * A thread's side: takes calls one after another and answers each.
 * @module
 */
import type { MessagePort } from "node:worker_threads";
import { type Call, type Reply, toPlain } from "./wire.js";

/** What a thread can do. Returns the answer, and what of it is handed over rather than copied. */
export type Handlers<Message> = (message: Message) => Answer | Promise<Answer>;

interface Answer {
  readonly value: unknown;
  readonly transfer?: readonly ArrayBuffer[] | undefined;
}

/** Say that the thread is ready, and serve until the port closes. */
export function serve<Message>(port: MessagePort, handle: Handlers<Message>): void {
  const reply = (answer: Reply, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(answer, [...transfer]);
  port.on("message", async ({ id, message }: Call) => {
    try {
      const { value, transfer } = await handle(message as Message);
      reply({ id, value }, transfer);
    } catch (error) {
      reply({ id, error: toPlain(error) });
    }
  });
  reply({ id: 0, value: undefined });
}
