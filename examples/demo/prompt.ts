/**
 * The completion request of the llm-d kv-cache quickstart: 192 tokens to Qwen3, 50 to be generated.
 * @module
 */

const LOREM =
  "Lorem ipsum dolor sit amet, consectetur adipiscing elit. Sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur. Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum.";

export function completionRequest(model: string): { model: string; prompt: string; max_tokens: number } {
  return { model, prompt: `${LOREM} ${LOREM}`, max_tokens: 50 };
}
