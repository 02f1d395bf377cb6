/**
 * `kvblock/tokenize`: prompts and chats → exactly the token ids that the engine would compute on.
 * @module
 */

export { type FirstTokenizerOptions, firstTokenizer } from "./first.js";
export {
  createHuggingFaceTokenizer,
  type HuggingFaceTokenizerOptions,
  type HuggingFaceTokenizerSource,
} from "./huggingface.js";
export {
  type ChatScoreInput,
  type PromptsScoreInput,
  type ScoreInput,
  type ScoreInputBase,
  type Surroundings,
  scoreInputFromOpenAI,
  type Truncation,
  truncateTokens,
} from "./openai.js";
export { createRemoteTokenizer, type RemoteTokenizerOptions } from "./remote.js";
export type { Fetch } from "./remote-call.js";
