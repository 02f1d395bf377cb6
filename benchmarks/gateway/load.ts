/** Requests at a rate, whatever becomes of them: what is late is not waited for. */
import { Agent, request } from "node:http";

export interface Step {
  /** Requests a second that were asked for, and that were answered. */
  readonly offered: number;
  readonly served: number;
  /** Milliseconds from when each was due to its answer's end; of those that failed none. */
  readonly latencies: readonly number[];
  readonly failed: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** One request; resolves when the answer has ended. */
export function post(url: string, id: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "x-request-id": id,
    };
    const sent = request(
      new URL("/v1/chat/completions", url),
      { method: "POST", agent, headers },
      (response) => {
        response.resume();
        response.on("end", () =>
          response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`)),
        );
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** @param next - asked when a request is due: all bodies together would be gigabytes */
export async function load(
  url: string,
  rate: number,
  seconds: number,
  next: () => { id: string; body: string },
): Promise<Step> {
  const latencies: number[] = [];
  let failed = 0;
  const under: Promise<void>[] = [];
  const count = Math.round(rate * seconds);
  const began = performance.now();
  for (let i = 0; i < count; i++) {
    const due = began + (1000 * i) / rate;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    else if (i % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
    const { id, body } = next();
    under.push(
      post(url, id, body).then(
        () => void latencies.push(performance.now() - due),
        () => void failed++,
      ),
    );
  }
  await Promise.all(under);
  return {
    offered: rate,
    served: latencies.length / ((performance.now() - began) / 1000),
    latencies,
    failed,
  };
}
