/**
 * One question to an engine: JSON there, JSON back, bounded in time and size.
 * @module
 */
import { KvBlockError } from "../errors.js";

/** What is used of `fetch`. */
export type Fetch = (
  url: URL,
  init: { method: "POST"; headers: Record<string, string>; body: string; signal: AbortSignal },
) => Promise<Pick<Response, "ok" | "status" | "body">>;

/** A million token ids take about 7 MB. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20;

/**
 * @throws KvBlockError `ERR_KVBLOCK_REMOTE` for anything but an answer that is JSON; the signal's reason. Messages name
 *   the URL and the status, never what was asked or answered: it may be the prompt
 */
export async function askJson(
  url: URL,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  ask: Fetch = fetch as Fetch,
): Promise<unknown> {
  const where = `${url.origin}${url.pathname}`;
  let text: string;
  try {
    const response = await ask(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
      signal,
    });
    text = await readText(response.body);
    if (!response.ok)
      throw new KvBlockError("ERR_KVBLOCK_REMOTE", `${where} answered ${response.status}${errorType(text)}`);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof KvBlockError) throw cause;
    throw new KvBlockError("ERR_KVBLOCK_REMOTE", `${where} gave no answer`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new KvBlockError("ERR_KVBLOCK_REMOTE", `${where} answered what is no JSON`);
  }
}

async function readText(body: Response["body"]): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES)
      throw new KvBlockError("ERR_KVBLOCK_REMOTE", `the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** The `type` of vLLM's error envelope; its message may quote the request. */
function errorType(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: { type?: unknown } };
    return typeof error?.type === "string" && /^\w{1,60}$/.test(error.type) ? ` (${error.type})` : "";
  } catch {
    return "";
  }
}
