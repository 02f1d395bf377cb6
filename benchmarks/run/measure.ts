/** Timing: warmed up, then repeated for as long as it takes to know. */

export interface SampleOptions {
  /** Sampling ends after this long, unless there are fewer than `min` samples. Default 500. */
  readonly ms?: number;
  /** Default 20. */
  readonly min?: number;
  /** Default 20,000. */
  readonly max?: number;
  /** Before the first sample; 0 for none. Default a quarter of `ms`. */
  readonly warmUpMs?: number;
}

/**
 * Milliseconds that each call of `body` took.
 * @param body - gets the call's number, from 0 on, so that it can take another input each time
 */
export function sample(body: (call: number) => unknown, options: SampleOptions = {}): number[] {
  return sampleTurns([body], options)[0]!;
}

/**
 * The same for several bodies that take turns: what else the machine does befalls all alike, so they compare.
 * @returns samples by body
 */
export function sampleTurns(
  bodies: readonly ((call: number) => unknown)[],
  { ms = 500, min = 20, max = 20_000, warmUpMs = ms / 4 }: SampleOptions = {},
): number[][] {
  let call = 0;
  const turn = (samples: readonly number[][]): void => {
    for (const [i, body] of bodies.entries()) {
      const started = performance.now();
      keep(body(call));
      samples[i]!.push(performance.now() - started);
    }
    call++;
  };
  const samples = bodies.map((): number[] => []);
  for (const until = performance.now() + warmUpMs; performance.now() < until; ) turn(samples);
  for (const warmUp of samples) warmUp.length = 0;
  const until = performance.now() + ms;
  while (samples[0]!.length < max && (samples[0]!.length < min || performance.now() < until)) turn(samples);
  return samples;
}

/** Results go where the compiler cannot prove that nobody looks. */
let kept: unknown;
export function keep(value: unknown): void {
  kept = value;
}
export const lastKept = (): unknown => kept;

export const median = (samples: readonly number[]): number =>
  samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? Number.NaN;
