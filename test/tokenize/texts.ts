/**
 * Texts of every kind that requests hold, from a seed.
 *
 * They are made of code points that old and new Unicode tables agree on: what newer ones change is counted over every
 * code point instead (code-points.ts).
 */
import { seeded } from "../support/random.js";

const PROSE =
  "the of and to in is that it was for on are with as his they be at one have this from or had by hot word but what some " +
  "we can out other were all there when up use your how said an each she which do their time if will way about many then " +
  "them write would like so these her long make thing see him two has look more day could go come did number sound no " +
  "most people my over know water than call first who may down side been now find any new work part take get place made " +
  "live where after back little only round man year came show every good me give our under name very through just form " +
  "antidisestablishmentarianism Massachusetts electroencephalogram January McDonald NASA iPhone";

const PIECES: Readonly<Record<string, readonly string[]>> = {
  prose: PROSE.split(" "),
  contractions: [
    "don't",
    "I'LL",
    "we'Ve",
    "it's",
    "they'D",
    "'tis",
    "o'clock",
    "y'all'd've",
    "'S",
    "’s",
    "l'été",
  ],
  code: [
    "function f(x) { return x ** 2; }",
    "    def g(self, *args):\n\t\tpass",
    "SELECT * FROM t;",
    "->=>!==",
    "https://a.b/c?d=e#f",
    "#include <stdio.h>",
    "if (a && !b || c) {",
    "}\n\n",
    "\t\t}",
    "std::vector<int>",
    "getHTTPResponseCode",
    "snake_case_name",
    "/* comment */",
    "// TODO: x",
    "$VAR $(VAR:-1)",
    "\\n\\t\\\\",
    "&amp;",
    '<div class="a">',
    "[1, 2, 3]",
    "x+=1;",
    "====",
    "----",
  ],
  numbers: [
    "0x1F",
    "3.14159",
    "1234567890",
    "1",
    "12",
    "123",
    "1234",
    "²³",
    "Ⅷ",
    "½",
    "١٢٣",
    "१२३",
    "1,000,000",
    "2024-01-31",
  ],
  scripts: [
    "日本語の文章",
    "カタカナ",
    "深度学习模型",
    "한국어 문장",
    "العربية",
    "עברית",
    "हिन्दी में",
    "ไทย",
    "Ελληνικά",
    "Русский текст",
    "தமிழ்",
    "বাংলা",
    "ქართული",
    "Հայերեն",
    "አማርኛ",
    "ខ្មែរ",
    "မြန်မာ",
    "Tiếng Việt",
    "naïve",
    "Straße",
    "İstanbul",
    "ﬁ",
    "Ⓐ",
    "ᎠᎡ",
  ],
  marks: [
    "e\u0301",
    "A\u030a",
    "q\u0307\u0323",
    "\u1100\u1161\u11a8",
    "Å",
    "Ω",
    "\u0344",
    "\u0958",
    "ñ",
    "n\u0303",
    "\u0301x",
  ],
  emoji: [
    "👍",
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "🇩🇪",
    "🇩🇪🇫🇷",
    "❤️",
    "🏴\u{e0067}\u{e0062}\u{e007f}",
    "1️⃣",
    "𝔘𝔫𝔦",
    "𠮷",
    "♥",
    "→",
  ],
  controls: [
    "\u0000",
    "\u0007",
    "\u001b[0m",
    "\u007f",
    "\u0085",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u2028",
    "\u00ad",
    "\u180e",
    "\ue000",
    "\ufffd",
  ],
  space: [
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\r\n",
    "\n\n\n",
    " \n ",
    "\u00a0",
    "\u3000",
    "\u2003",
    "\u000b\f",
    "                    ",
  ],
  punctuation: [
    "…",
    "—",
    "\"'`",
    "“x”",
    "?!",
    "...",
    "«»",
    "。",
    "、",
    "！",
    "-",
    "_",
    "/",
    "\\",
    "|>",
    "<|",
    "<|im_start",
    "¿",
    "§",
    "€5",
  ],
};

const KINDS = Object.keys(PIECES);

/** Texts that no picking makes. */
const EDGES: readonly string[] = [
  " ",
  "\n",
  "a",
  "é",
  "👍",
  "\u0000",
  "\ud800",
  "x\udc00y",
  "\udc00\ud800",
  "a\ud83d",
  "\ud800".repeat(50),
  "a".repeat(300),
  "ab".repeat(500),
  "\u0301".repeat(200),
  " ".repeat(500),
  "\n".repeat(300),
  "\r\n".repeat(50),
  "-".repeat(400),
  "1".repeat(300),
  "🏽".repeat(100),
  "あ".repeat(300),
  "A".repeat(200),
  "aA".repeat(200),
  "'".repeat(50),
  "'s".repeat(50),
  "x".repeat(5000),
  "Pneumonoultramicroscopicsilicovolcanoconiosis".repeat(20),
  " \t".repeat(200),
  "\u00a0".repeat(50),
  "a\u0301".repeat(100),
];

/**
 * `count` texts; `tokens` are put among them, whole, cut short, and beside letters and spaces.
 */
export function* texts(seed: number, count: number, tokens: readonly string[]): Generator<string> {
  const random = seeded(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)]!;
  const piece = (kinds: readonly string[]): string => {
    if (tokens.length > 0 && random() < 0.05) {
      const token = pick(tokens);
      return random() < 0.8 ? token : token.slice(0, 1 + below(token.length));
    }
    const chosen = pick(PIECES[pick(kinds)]!);
    return random() < 0.03 ? chosen.toUpperCase() : chosen;
  };
  let made = 0;
  for (; made < count && made < EDGES.length; made++) yield EDGES[made]!;
  for (; made < count; made++) {
    const kinds = random() < 0.5 ? KINDS : [pick(KINDS), pick(KINDS)];
    const separator = random() < 0.6 ? " " : "";
    let text = Array.from({ length: 1 + below(random() < 0.05 ? 400 : 40) }, () => piece(kinds)).join(
      separator,
    );
    // Cut between any two units, so that pairs break.
    if (random() < 0.1) text = text.slice(below(text.length), text.length - below(text.length)) || text;
    yield text;
  }
}
