/**
 * A model directory's tokenizer files: which exist, and which chat templates they hold.
 *
 * Order of the template's sources, first found wins, as transformers loads them (and vLLM, which asks the processor's
 * template before the tokenizer's): `chat_template.jinja` with `additional_chat_templates/*.jinja`,
 * `chat_template.json`, `tokenizer_config.json`.
 * @module
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { KvBlockError } from "../errors.js";

/** What a tokenizer is made of. */
export interface TokenizerFiles {
  /** Content of `tokenizer.json`. */
  readonly tokenizerJson: object;
  /** Content of `tokenizer_config.json`; empty when there is none. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  /** Chat templates by name; `default` is the model's own. */
  readonly templates: ReadonlyMap<string, string>;
  /** The file or field that they stand in, for messages. */
  readonly templatesFrom: string;
}

/** Read a directory that holds a `tokenizer.json`, or the files beside a `tokenizer.json`. */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  const isDirectory = await stat(path).then(
    (found) => found.isDirectory(),
    (cause: unknown) => {
      throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `no tokenizer at ${path}: no such file or directory`, {
        cause,
      });
    },
  );
  const directory = isDirectory ? path : dirname(path);
  const tokenizerPath = isDirectory ? join(path, "tokenizer.json") : path;
  const tokenizerJson = await readJson(tokenizerPath);
  if (tokenizerJson === undefined)
    throw new KvBlockError(
      "ERR_KVBLOCK_TOKENIZE",
      `no tokenizer.json in ${path}: save the model's fast tokenizer there, or give the path of the file`,
    );
  const tokenizerConfig = (await readJson(join(directory, "tokenizer_config.json"))) ?? {};
  return { tokenizerJson, tokenizerConfig, ...(await readTemplates(directory, tokenizerConfig)) };
}

/** The chat templates inside a `tokenizer_config.json`: one text, or a list of `{ name, template }`. */
export function templatesOfConfig(config: Readonly<Record<string, unknown>>): Map<string, string> {
  const templates = new Map<string, string>();
  const field = config["chat_template"];
  if (field === undefined || field === null) return templates;
  if (typeof field === "string") return templates.set("default", field);
  for (const entry of Array.isArray(field) ? (field as unknown[]) : [undefined]) {
    const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown };
    if (typeof name !== "string" || typeof template !== "string")
      throw new KvBlockError(
        "ERR_KVBLOCK_TOKENIZE",
        'tokenizer_config.json: "chat_template" is neither a text nor a list of { name, template }',
      );
    templates.set(name, template);
  }
  return templates;
}

async function readTemplates(
  directory: string,
  config: Readonly<Record<string, unknown>>,
): Promise<Pick<TokenizerFiles, "templates" | "templatesFrom">> {
  const ownPath = join(directory, "chat_template.jinja");
  const own = await readText(ownPath);
  if (own !== undefined) {
    const templates = new Map([["default", own]]);
    const more = join(directory, "additional_chat_templates");
    for (const file of (await readdir(more).catch(ignoreAbsence)) ?? [])
      if (file.endsWith(".jinja"))
        templates.set(basename(file, ".jinja"), (await readText(join(more, file))) ?? "");
    return { templates, templatesFrom: ownPath };
  }
  const path = join(directory, "chat_template.json");
  const json = await readJson(path);
  if (json === undefined)
    return { templates: templatesOfConfig(config), templatesFrom: join(directory, "tokenizer_config.json") };
  const text = json["chat_template"];
  if (typeof text !== "string")
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `${path}: "chat_template" is not a text`);
  return { templates: new Map([["default", text]]), templatesFrom: path };
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `${path} is not JSON`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `${path} is not a JSON object`);
  return value as Record<string, unknown>;
}

/** A byte order mark is no part of the text. */
async function readText(path: string): Promise<string | undefined> {
  const bytes = await readFile(path).catch((cause: unknown) => ignoreAbsence(cause, path));
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `${path} is not UTF-8`, { cause });
  }
}

/** A file that is not there is an answer; one that cannot be read is an error. */
function ignoreAbsence(cause: unknown, path = "a file"): undefined {
  if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
  throw new KvBlockError("ERR_KVBLOCK_TOKENIZE", `${path} cannot be read`, { cause });
}
