/**
 * `npm run bench -- <question> [arguments]`: runs one benchmark, or says which there are.
 */
const questions: Readonly<Record<string, string>> = {
  "block-index": "the block index: add, evict, lookup with scoring, memory, longest pause",
  "hash-chain": "block hashes by algorithm, beside node:crypto and hash-wasm on the same bytes",
  ingest: "frames to visible blocks, decode included, by mode; and scoring whole prompts",
};

const question = process.argv[2] ?? "";
if (question in questions) await import(`./${question}.ts`);
else {
  console.log("npm run bench -- <question> [--json]\n");
  for (const [name, what] of Object.entries(questions)) console.log(`  ${name.padEnd(12)}  ${what}`);
  process.exitCode = question === "" ? 0 : 1;
}
