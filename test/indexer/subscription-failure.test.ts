/** A subscription that fails is told of, and leaves no socket open. */

import { expect, it } from "vitest";
import { Publisher } from "zeromq";
import { type Diagnostic, Indexer } from "../../src/index.js";
import { storedFrame } from "../../src/testing.js";

it("closes its socket when the host's onFrame throws, says so, and calls the pod stale", async () => {
  const publisher = new Publisher({ linger: 0 });
  await publisher.bind("tcp://127.0.0.1:*");
  const told: Diagnostic[] = [];
  const indexer = await Indexer.create({ onDiagnostic: (one) => told.push(one) });
  let frames = 0;
  const subscription = await indexer.subscribe({
    endpoint: publisher.lastEndpoint!,
    onFrame: () => {
      if (++frames === 2) throw new Error("the host's own mistake");
    },
  });
  const failed = expect(subscription.ended).rejects.toThrow("the host's own mistake");
  const about = { pod: "pod", model: "model", tokens: [1, 2, 3, 4], blockSize: 2 };
  const { topic, payload } = storedFrame(about);
  for (let seq = 0; subscription.transport!.endpoints[0]!.state !== "closed"; seq++) {
    const number = Buffer.alloc(8);
    number.writeBigUInt64BE(BigInt(seq));
    await publisher.send([topic, number, payload]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seq).toBeLessThan(200);
  }
  await failed;
  expect(told.map(({ code }) => code)).toContain("subscription-failed");
  expect(indexer.pods()[0]).toMatchObject({ state: "stale" });
  await indexer.close();
  publisher.close();
});
