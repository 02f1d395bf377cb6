/**
 * The JSON that vLLM's OpenAI server answers with. Fields that this engine has nothing for are null, as they are there.
 * Source: vLLM `vllm/entrypoints/openai/protocol.py` (later split under `vllm/entrypoints/openai/`).
 * @module
 */
import { randomUUID } from "node:crypto";

export type Endpoint = "completions" | "chat";

export interface Usage {
  readonly prompt_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number } | null;
}

/** Whose answer it is: repeated in each of its parts. */
export interface Envelope {
  readonly endpoint: Endpoint;
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly model: string;
}

export interface ChoiceText {
  readonly index: number;
  readonly text: string;
  readonly finishReason: "length" | "stop" | null;
  readonly stopReason: string | null;
}

export function responseId(endpoint: Endpoint, requestId: string | undefined): string {
  return `${endpoint === "chat" ? "chatcmpl" : "cmpl"}-${requestId || randomHex()}`;
}

/** vLLM leaves the details out when nothing was cached, and when the server was not told to report them. */
export function usageOf(
  promptTokens: number,
  completionTokens: number,
  cachedTokens: number,
  reportsCached: boolean,
): Usage {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    prompt_tokens_details: reportsCached && cachedTokens > 0 ? { cached_tokens: cachedTokens } : null,
  };
}

export function wholeResponse(envelope: Envelope, choices: readonly ChoiceText[], usage: Usage): unknown {
  const chat = envelope.endpoint === "chat";
  const common = {
    service_tier: null,
    system_fingerprint: null,
    usage,
    ...(chat ? { prompt_logprobs: null, prompt_token_ids: null } : {}),
    kv_transfer_params: null,
  };
  return {
    ...head(envelope, chat ? "chat.completion" : "text_completion"),
    choices: choices.map((choice) => ({
      index: choice.index,
      ...(chat ? { message: message(choice.text) } : { text: choice.text }),
      logprobs: null,
      finish_reason: choice.finishReason,
      stop_reason: choice.stopReason,
      token_ids: null,
      ...(chat ? {} : { prompt_logprobs: null, prompt_token_ids: null }),
    })),
    ...common,
  };
}

/** One event of a stream. The text of a chat's first one is null: it announces the role. */
export function streamChunk(
  envelope: Envelope,
  choice: Omit<ChoiceText, "text"> & { readonly text: string | null },
): unknown {
  const chat = envelope.endpoint === "chat";
  const content = choice.text === null ? { role: "assistant", content: "" } : { content: choice.text };
  return {
    ...head(envelope, chat ? "chat.completion.chunk" : "text_completion"),
    choices: [
      {
        index: choice.index,
        ...(chat ? { delta: content } : { text: choice.text }),
        logprobs: null,
        finish_reason: choice.finishReason,
        ...(chat && choice.finishReason === null ? {} : { stop_reason: choice.stopReason }),
      },
    ],
    ...(chat ? {} : { usage: null }),
  };
}

/** The last event of a stream whose request asked for `stream_options.include_usage`. */
export function usageChunk(envelope: Envelope, usage: Usage): unknown {
  const object = envelope.endpoint === "chat" ? "chat.completion.chunk" : "text_completion";
  return { ...head(envelope, object), choices: [], usage };
}

/** The answer of `/v1/models`: the base model, then its adapters. */
export function modelList(
  created: number,
  model: string,
  maxModelLen: number,
  loras: readonly string[],
): unknown {
  const card = (id: string, parent: string | null): unknown => ({
    id,
    object: "model",
    created,
    owned_by: "vllm",
    root: id,
    parent,
    max_model_len: parent === null ? maxModelLen : null,
    permission: [
      {
        id: `modelperm-${randomHex()}`,
        object: "model_permission",
        created,
        allow_create_engine: false,
        allow_sampling: true,
        allow_logprobs: true,
        allow_search_indices: false,
        allow_view: true,
        allow_fine_tuning: false,
        organization: "*",
        group: null,
        is_blocking: false,
      },
    ],
  });
  return { object: "list", data: [card(model, null), ...loras.map((lora) => card(lora, model))] };
}

function head({ id, created, model }: Envelope, object: string): Record<string, unknown> {
  return { id, object, created, model };
}

function message(content: string): Record<string, unknown> {
  return {
    role: "assistant",
    content,
    refusal: null,
    annotations: null,
    audio: null,
    function_call: null,
    tool_calls: [],
    reasoning: null,
  };
}

function randomHex(): string {
  return randomUUID().replaceAll("-", "");
}
