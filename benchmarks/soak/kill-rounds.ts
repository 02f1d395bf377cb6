/** A publisher killed with SIGKILL and started again on its ports, again and again: when are the answers right? */
import { Indexer } from "kvblock";
import { portRun } from "../../test/support/ports.js";
import { holdings, sleep, spread } from "./figures.js";
import { BLOCKS, MODEL, requestOf } from "./prompts.js";
import { PublisherProcess } from "./publishers.js";

const POD = "10.0.0.7";
/** A round that is not right by then never will be. */
const GIVEN_UP_MS = 20_000;
const TICK_MS = 20;
const FIRST_TICK = 100;
/** How long nobody listens on the ports, in turns. The longer, the longer libzmq's own wait to connect again. */
const DOWN_MS = [0, 250, 1000, 4000];

interface Round {
  readonly downMs: number;
  /** From the kill on: `stale` said; sockets bound again; all answers right. */
  readonly stale: number;
  readonly up: number;
  readonly right: number | null;
  /** Answers between that said live and complete and credited blocks of the dead process. */
  readonly lies: number;
}

export async function killRounds(rounds: number, tsconfig: string): Promise<boolean> {
  const events = await portRun(2);
  const replay = events + 1;
  const startLife = (life: number): Promise<PublisherProcess> =>
    PublisherProcess.start({ events, replay, pod: POD, life }, tsconfig);
  const indexer = await Indexer.create({ onDiagnostic: null });
  const blocksOf = (life: number, id: number): number =>
    indexer.scoreTokens(requestOf(life, id), { model: MODEL }).get(POD)?.blocks ?? 0;
  const isRight = (life: number): boolean => {
    const pod = indexer.pods()[0];
    return (
      pod?.state === "live" &&
      pod.complete &&
      [0, 2, FIRST_TICK].every((id) => blocksOf(life, id) === BLOCKS) &&
      [1, 0, 2, FIRST_TICK].every((id, i) => blocksOf(i === 0 ? life : life - 1, id) === 0)
    );
  };
  /** Its sockets, and a history that nobody hears. */
  const begin = async (publisher: PublisherProcess, frames: number): Promise<void> => {
    await publisher.tell({ type: "bind" });
    const ids = Array.from({ length: 3 + frames }, (_, id) => id);
    await publisher.tell({ type: "store", ids });
    await publisher.tell({ type: "remove", ids: [1] });
    await publisher.tell({ type: "tick", everyMs: TICK_MS, from: FIRST_TICK });
  };

  let alive = await startLife(1);
  await begin(alive, 0);
  await indexer.subscribe({
    endpoint: `tcp://127.0.0.1:${events}`,
    replayEndpoint: `tcp://127.0.0.1:${replay}`,
  });
  while (!isRight(1)) await sleep(5);
  const before = holdings();
  const done: Round[] = [];
  for (let i = 0; i < rounds; i++) {
    const life = i + 2;
    // Started beforehand: what it takes Node.js to start is nobody's figure here.
    const next = await startLife(life);
    await sleep(100 + Math.random() * 500);
    const downMs = DOWN_MS[i % DOWN_MS.length]!;
    const killed = performance.now();
    const since = (): number => performance.now() - killed;
    await alive.kill();
    while (indexer.pods()[0]!.state !== "stale") await sleep(1);
    const stale = since();
    await sleep(downMs);
    alive = next;
    await begin(alive, Math.floor(Math.random() * 10));
    const up = since();
    let right: number | null = null;
    let lies = 0;
    while (right === null && since() < up + GIVEN_UP_MS) {
      if (isRight(life)) right = since();
      const pod = indexer.pods()[0]!;
      if (pod.state === "live" && pod.complete && blocksOf(life - 1, 0) > 0) lies++;
      await sleep(1);
    }
    done.push({ downMs, stale, up, right, lies });
    if (right === null) console.log("  never right:", JSON.stringify(indexer.pods()[0]));
  }
  const after = holdings();
  await indexer.close();
  await alive.kill();

  const wrong = done.filter(({ right, lies }) => right === null || lies > 0);
  const right = done.filter((round) => round.right !== null) as (Round & { right: number })[];
  console.log(`kill rounds: ${rounds}, never right or credited to the dead: ${wrong.length}`);
  console.log(`  ms from kill to "stale":              ${spread(done.map(({ stale }) => stale))}`);
  for (const down of DOWN_MS) {
    const of = right.filter(({ downMs }) => downMs === down);
    console.log(
      `  ms from kill to right, down ${`${down}`.padStart(4)} ms:   ${spread(of.map((r) => r.right))}`,
    );
  }
  console.log(`  ms from kill to right, all:           ${spread(right.map((r) => r.right))}`);
  console.log(`  ms from sockets bound to right, all:  ${spread(right.map((r) => r.right - r.up))}`);
  console.log(`  held before ${JSON.stringify(before)}\n  held after  ${JSON.stringify(after)}`);
  return wrong.length === 0;
}
