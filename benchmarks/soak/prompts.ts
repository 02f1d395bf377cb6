/**
 * What the publisher processes announce, so that whoever hears them knows the right answer: a prompt is named by the
 * process's life (how often it was restarted) and a number, and no two share a block.
 */
export const MODEL = "soak/model";
export const BLOCK_SIZE = 16;
/** Blocks of a prompt that is announced. */
export const BLOCKS = 4;

/** Token ids of a prompt; `blocks` more than the usual make a big frame. */
export function promptOf(life: number, id: number, blocks = BLOCKS): number[] {
  // The first two ids name the prompt, and a block's hash names all before it: the rest need not differ.
  return [life, id, ...Array.from({ length: blocks * BLOCK_SIZE - 2 }, (_, i) => 100_000 + (i % 50_000))];
}

/** The prompt as a request has it: an engine computes the last token itself, so one more makes all blocks usable. */
export const requestOf = (life: number, id: number, blocks = BLOCKS): number[] => [
  ...promptOf(life, id, blocks),
  1,
];
