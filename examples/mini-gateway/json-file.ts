/**
 * JSON that people write: what is wrong with it is told with the file, the line and the column. `JSON.parse` names the
 * place in some of its messages only.
 * @module
 */
import { readFile } from "node:fs/promises";
import { ConfigError } from "./checks.js";
import { messageOf } from "./log.js";

/** What JSON is made of, after any space. */
const TOKEN =
  /[ \t\n\r]*([{}[\],:]|"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|)/uy;

/** @throws ConfigError that names the file, and the place in it */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    // Node's own message has the path at its end, or (for a directory) nowhere.
    const reason = messageOf(error).replace(/^[A-Z]+: |, \w+( '.*')?$/g, "");
    throw new ConfigError(`cannot read ${path}: ${reason}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${path}:${findMistake(text) ?? ` ${messageOf(error)}`}`);
  }
}

/** Where a text stops being JSON, as `line:column: what is wrong`; undefined if it is JSON. */
export function findMistake(text: string): string | undefined {
  let at = 0;
  /** The next token, and `at` before it; empty at the end, and where none begins. */
  const peek = (): string => {
    TOKEN.lastIndex = at;
    const [all, token] = TOKEN.exec(text)!;
    at += all.length - token!.length;
    return token!;
  };
  const expect = (wanted: RegExp, name: string): string => {
    const token = peek();
    if (!wanted.test(token)) throw new NotJson(`expected ${name}, got ${quote(text, at)}`);
    at += token.length;
    return token;
  };
  const readValue = (): void => {
    const token = expect(/^[^}\],:]/, "a value");
    if (token === "[" && peek() !== "]")
      do readValue();
      while (expect(/^[,\]]$/, ", or ]") === ",");
    else if (token === "{" && peek() !== "}")
      do {
        expect(/^"/, "a name in double quotes");
        expect(/^:$/, ":");
        readValue();
      } while (expect(/^[,}]$/, ", or }") === ",");
    else if (token === "[" || token === "{") at++;
  };
  try {
    readValue();
    peek();
    if (at < text.length) throw new NotJson(`expected the end of the file, got ${quote(text, at)}`);
    return undefined;
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    const lines = text.slice(0, at).split("\n");
    return `${lines.length}:${lines.at(-1)!.length + 1}: not JSON: ${error.message}`;
  }
}

class NotJson extends Error {}

/** What stands there, up to where the next thing begins. */
function quote(text: string, at: number): string {
  return at === text.length ? "the end of the file" : /^.[^\s,:{}[\]"]{0,20}/su.exec(text.slice(at))![0];
}
