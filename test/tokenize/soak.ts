/**
 * `npm run soak:tokenize`: parity with Hugging Face's own tokenizers, long. Ends with code 1 if a text differs that
 * should not.
 *
 *     npm run soak:tokenize -- --texts 100000 --seed 7 --model qwen3
 *     npm run soak:tokenize -- --file path/to/tokenizer.json      a model of yours
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { MODELS, type TokenizerModel } from "./models.js";
import { agree, comparableTexts, loadPair, type Pair, showText, shrinkText } from "./parity.js";

const { values } = parseArgs({
  options: {
    texts: { type: "string", default: "12000" },
    seed: { type: "string", default: "1" },
    model: { type: "string" },
    file: { type: "string" },
  },
});
const MAX_SHOWN = 20;
/** Code points together in one text, so that most need no text of their own. */
const BATCH = 64;

const models: readonly TokenizerModel[] =
  values.file === undefined
    ? MODELS.filter(({ name }) => values.model === undefined || name === values.model)
    : [{ name: values.file, isByteLevel: true, json: () => readFileSync(values.file!, "utf8") }];

for (const model of models) {
  const pair = await loadPair(model);
  const { compared, differing } = await compare(model, pair);
  console.log(`${model.name.padEnd(12)} ${compared} texts, ${differing.length} differ`);
  if (pair.ours.degraded !== undefined) console.log(`  ${pair.ours.degraded}`);
  for (const text of differing.slice(0, MAX_SHOWN))
    console.log(`  ${showText(await shrinkText(pair, text))}`);
  const points = await differingPoints(pair);
  console.log(`  of all code points ${points.length} differ: ${ranges(points)}`);
  if (differing.length > 0 || pair.ours.degraded !== undefined) process.exitCode = 1;
}

async function compare(
  model: TokenizerModel,
  pair: Pair,
): Promise<{ compared: number; differing: string[] }> {
  const differing: string[] = [];
  let compared = 0;
  for (const text of comparableTexts(model, pair, Number(values.seed), Number(values.texts))) {
    compared++;
    if (!(await agree(pair, text, true)) || !(await agree(pair, text, false))) differing.push(text);
  }
  return { compared, differing };
}

/**
 * Every code point of the planes that have characters, beside a letter, a digit, a space and marks: where Unicode tables
 * differ, so do the pieces.
 */
async function differingPoints(pair: Pair): Promise<number[]> {
  const found: number[] = [];
  const ends = [0xd800, 0xe000, 0x40000, 0xe0000, 0xe1000];
  for (let first = 0; first < ends.at(-1)!; first += BATCH) {
    if ((first >= ends[0]! && first < ends[1]!) || (first >= ends[2]! && first < ends[3]!)) continue;
    const points = Array.from({ length: BATCH }, (_, index) => first + index);
    if (await agree(pair, points.map(beside).join(""), false)) continue;
    for (const point of points) if (!(await agree(pair, beside(point), false))) found.push(point);
  }
  return found;
}

function beside(point: number): string {
  const c = String.fromCodePoint(point);
  return `a${c}b ${c}1${c}. ${c}\u0323\u0301${c}\n`;
}

function ranges(points: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < points.length; ) {
    let end = i;
    while (points[end + 1] === points[end]! + 1) end++;
    const [first, last] = [points[i]!, points[end]!].map((point) => point.toString(16));
    parts.push(first === last ? first! : `${first}-${last}`);
    i = end + 1;
  }
  return parts.join(" ");
}
