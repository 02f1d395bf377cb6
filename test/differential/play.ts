/**
 * Play a scenario: its engines, what lies between, and an indexer of every mode that hears the same frames.
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Indexer, type IndexerOptions, type KvFrame, type PodScore } from "kvblock";
import { scoreRequest } from "../indexer/traffic.js";
import { Engine, LORAS, MODEL, noneHashOf, type Sent } from "./engine.js";
import { type Asked, Divergence, judge } from "./judge.js";
import type { Scenario, Step } from "./scenario.js";
import { MODES, type Mode, newTallies, type Tallies } from "./tally.js";
import { Wire } from "./wire.js";

interface Job {
  readonly id: string;
  readonly engine: number;
}

/** Returns what was counted. @throws Divergence, which says at which step */
export async function play(scenario: Scenario): Promise<Tallies> {
  const run = new Run(scenario, await startEngines(scenario), await createIndexers(scenario));
  try {
    await run.play();
  } finally {
    await run.close();
  }
  return run.tallies;
}

const startEngines = (scenario: Scenario): Promise<Engine[]> =>
  Promise.all(scenario.engines.map((spec) => Engine.start(spec, scenario)));

async function createIndexers(scenario: Scenario): Promise<Record<Mode, Indexer>> {
  const { algorithm, hashSeed, drafting } = scenario;
  const root = hashSeed === null ? { noneHash: noneHashOf(scenario) } : { seed: hashSeed };
  const hashes: Record<Mode, IndexerOptions["hash"]> = {
    exact: { mode: "exact", algorithm, ...(algorithm === "sglang" ? {} : root) },
    tokens: { mode: "tokens" },
    auto: { mode: "auto" },
  };
  const create = (mode: Mode): Promise<Indexer> =>
    Indexer.create({
      hash: hashes[mode],
      models: { [MODEL]: { drafting, loras: LORAS } },
      onDiagnostic: null,
      clock: () => 0,
    });
  const [exact, tokens, auto] = await Promise.all(MODES.map(create));
  return { exact: exact!, tokens: tokens!, auto: auto! };
}

class Run {
  readonly tallies = newTallies();
  readonly #scenario: Scenario;
  readonly #engines: readonly Engine[];
  readonly #indexers: Record<Mode, Indexer>;
  readonly #wires: readonly Wire[];
  /** Frames by their payload, which a replay hands out again as it is. */
  readonly #sent = new WeakMap<Uint8Array, Sent>();
  #jobs: Job[] = [];
  #number = 0;

  constructor(scenario: Scenario, engines: readonly Engine[], indexers: Record<Mode, Indexer>) {
    this.#scenario = scenario;
    this.#engines = engines;
    this.#indexers = indexers;
    this.#wires = engines.map((engine) => new Wire(engine.spec, (frame) => this.#deliver(engine, frame)));
    for (const mode of MODES) this.tallies[mode].runs = 1;
  }

  async play(): Promise<void> {
    for (const step of this.#scenario.steps) {
      this.#number++;
      for (const wire of this.#wires) wire.tick(this.#number);
      try {
        this.#do(step);
        if (this.#wires.some((wire) => wire.isBusy)) for (let turn = 0; turn < 2; turn++) await nextTurn();
        if (this.#check(step)) await nextTurn();
      } catch (error) {
        if (!(error instanceof Divergence)) throw error;
        throw new Divergence(`step ${this.#number}: ${error.message}`);
      }
    }
  }

  async close(): Promise<void> {
    for (const wire of this.#wires) wire.close();
    await nextTurn();
    await Promise.all(MODES.map((mode) => this.#indexers[mode].close()));
  }

  #do(step: Step): void {
    switch (step.do) {
      case "join":
        for (const wire of this.#wires) wire.open();
        return;
      case "arrive":
        this.#wires[step.engine]!.arrive(step.reversed);
        return;
      case "repeat":
        this.#wires[step.engine]!.repeat(step.back);
        return;
      case "restart":
        this.#jobs = this.#jobs.filter(({ engine }) => engine !== step.engine);
        this.#engines[step.engine]!.restart(step.clockSeconds);
        this.#wires[step.engine]!.restart();
        for (const mode of MODES) this.tallies[mode].restarts++;
        return;
      default: {
        const engine = this.#act(step);
        if (engine === undefined || step.quiet) return;
        const sent = this.#engines[engine]!.send(step.fate === "broken");
        if (sent === undefined) return;
        this.#sent.set(sent.frame.payload, sent);
        if (this.#wires[engine]!.send(sent, step.fate))
          for (const mode of MODES) this.tallies[mode].lostFrames++;
      }
    }
  }

  /** What happens within an engine: returns which. */
  #act(step: Extract<Step, { quiet: boolean }>): number | undefined {
    if (step.do === "start") {
      const id = `${this.#number}`;
      const runs = this.#engines[step.engine]!.startRequest(
        id,
        this.#scenario.prompts[step.prompt]!,
        step.part,
      );
      if (runs) this.#jobs.push({ id, engine: step.engine });
      return step.engine;
    }
    if (step.do === "clear") {
      const engine = this.#engines[step.engine]!;
      if (step.idle) {
        for (const job of this.#jobs) if (job.engine === step.engine) engine.finish(job.id);
        this.#jobs = this.#jobs.filter((job) => job.engine !== step.engine);
      }
      engine.clear();
      for (const mode of MODES) this.tallies[mode].clears++;
      return step.engine;
    }
    const job = this.#jobs[step.job % Math.max(1, this.#jobs.length)];
    if (job === undefined) return undefined;
    if (step.do === "append") this.#engines[job.engine]!.append(job.id, step.tokens);
    else {
      this.#engines[job.engine]!.finish(job.id);
      this.#jobs = this.#jobs.filter((other) => other !== job);
    }
    return job.engine;
  }

  #deliver(engine: Engine, frame: KvFrame): void {
    const { life, seq, ts, events } = this.#sent.get(frame.payload)!;
    const { ledger } = engine;
    if (ledger.reach(life, seq, ts) === "unseen") return;
    const { pod, rank } = engine.spec;
    const generation = (): number | undefined =>
      this.#indexers.exact.pods().find((one) => one.pod === pod && one.dataParallelRank === rank)?.generation;
    const before = ledger.inDoubt ? generation() : undefined;
    for (const mode of MODES) {
      this.#indexers[mode].apply(frame);
      this.tallies[mode].frames++;
      this.tallies[mode].events += events;
    }
    if (ledger.inDoubt && generation() !== before) ledger.noticed(life, seq, ts);
  }

  /** Returns whether an indexer wants a turn of the event loop. */
  #check({ asks }: Step): boolean {
    let waits = false;
    const { auto } = this.#indexers;
    for (const ask of asks) {
      const request = this.#scenario.prompts[ask]!;
      const scores = MODES.map((mode) =>
        this.#indexers[mode].scoreTokens(request.tokens, scoreRequest(MODEL, request)),
      );
      // A prompt may settle how a publisher hashes.
      const settled = new Map(auto.pods().map((pod) => [`${pod.pod} ${pod.dataParallelRank}`, pod.mode]));
      for (const engine of this.#engines) {
        const { pod, rank } = engine.spec;
        // What the newest frame says and nobody has heard, nobody can be held to.
        const comparable = !engine.ledger.lags && !engine.isDirty;
        const truth = comparable ? engine.truth(request) : undefined;
        for (const [i, mode] of MODES.entries()) {
          const score = scores[i]!.get(pod, rank);
          if (score?.state === "catching-up") waits = true;
          if (truth === undefined) this.tallies[mode].unsettled++;
          else {
            const keyed = mode === "auto" ? settled.get(`${pod} ${rank}`)! : mode;
            const asked = { scenario: this.#scenario, engine, request, truth, keyed };
            this.#judge(score!, asked, mode, `${mode}, ${pod} rank ${rank}, prompt ${ask}`);
          }
        }
      }
    }
    return waits;
  }

  #judge(score: PodScore, asked: Asked, mode: Mode, where: string): void {
    try {
      judge(score, asked, this.tallies[mode]);
    } catch (error) {
      if (!(error instanceof Divergence)) throw error;
      throw new Divergence(`${where}: ${error.message}`);
    }
  }
}
