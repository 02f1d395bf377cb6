/** Publisher processes, from the side of whoever starts and kills them. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Command, ProcessArguments } from "./publisher-process.js";

const script = fileURLToPath(new URL("./publisher-process.ts", import.meta.url));
/** The repository, with a slash at its end. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

export class PublisherProcess {
  readonly #child: ChildProcess;
  readonly #waiting: ((published: number) => void)[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", ({ published }: { published: number }) => this.#waiting.shift()?.(published));
  }

  /**
   * Start one, without its sockets. @param tsconfig - says what `kvblock` means to it: the root's, the sources; that of
   * the examples, the build
   */
  static async start(options: ProcessArguments, tsconfig = "tsconfig.json"): Promise<PublisherProcess> {
    const child = fork(script, [JSON.stringify(options)], {
      cwd: root,
      execArgv: ["--import", "tsx"],
      env: { ...process.env, TSX_TSCONFIG_PATH: `${root}${tsconfig}` },
    });
    const publisher = new PublisherProcess(child);
    await publisher.#answer();
    return publisher;
  }

  static async open(options: ProcessArguments, tsconfig?: string): Promise<PublisherProcess> {
    const publisher = await PublisherProcess.start(options, tsconfig);
    await publisher.tell({ type: "bind" });
    return publisher;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Batches published when it was done. */
  tell(command: Exclude<Command, { type: "ack" }>): Promise<number> {
    const answer = this.#answer();
    this.#child.send(command);
    return answer;
  }

  ack(below: number): void {
    if (this.#child.connected) this.#child.send({ type: "ack", below });
  }

  /** Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }

  #answer(): Promise<number> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error("the publisher process has ended"));
      this.#child.once("exit", onExit);
      this.#waiting.push((published) => {
        this.#child.off("exit", onExit);
        resolve(published);
      });
    });
  }
}
