/** Texts to tokenize, from files that npm packages of this repository ship, so that every machine has the same. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const typescript = dirname(require.resolve("typescript"));
const modules = join(typescript, "../..");

export type Corpus = "prose" | "code" | "mixed scripts";

/** Characters of each kind: twice the longest prompt. */
const LENGTH = 1_200_000;

/** Languages in which TypeScript explains itself. */
const LANGUAGES = ["ja", "ko", "zh-cn", "ru", "de", "fr", "pl", "tr"] as const;

export const CORPORA: Readonly<Record<Corpus, () => string>> = {
  prose: () => markdown(modules).join("\n").slice(0, LENGTH),
  code: () => readFileSync(join(typescript, "typescript.js"), "utf8").slice(2_000_000, 2_000_000 + LENGTH),
  "mixed scripts": () => {
    const sentences = LANGUAGES.map((language) => {
      const path = join(typescript, language, "diagnosticMessages.generated.json");
      return Object.values(JSON.parse(readFileSync(path, "utf8")) as Record<string, string>);
    });
    const lines = sentences[0]!.map((_, i) => sentences.map((texts) => texts[i] ?? "").join(" "));
    return lines.join("\n").slice(0, LENGTH);
  },
};

/** What the packages' authors wrote for people, in the order of the packages' names. */
function markdown(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.md$/i.test(name))
    .sort()
    .map((name) => readFileSync(join(folder, name), "utf8"));
}

/** Slices of about so many tokens, 4 characters each, one after the other. */
export function slices(text: string, tokens: number): string[] {
  const length = tokens * 4;
  return Array.from({ length: Math.floor(text.length / length) }, (_, i) =>
    text.slice(i * length, (i + 1) * length),
  );
}
