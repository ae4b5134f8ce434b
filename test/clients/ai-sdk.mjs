/** The AI SDK: the package ai with @ai-sdk/openai-compatible. It lists no models. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";
import {
  API_KEY,
  BAD_TEMPERATURE,
  BASE_URL,
  CHAT_MODEL,
  EMBEDDING_MODEL,
  failure,
  left,
  LONG,
  MAX_TOKENS,
  MESSAGES,
  report,
  SLOW_MODEL,
  TEXTS,
} from "./steps.mjs";

// It would warn that completions have no tools.
globalThis.AI_SDK_LOG_WARNINGS = false;
const provider = (apiKey = API_KEY) =>
  createOpenAICompatible({ name: "alt-las", baseURL: BASE_URL, apiKey, includeUsage: true });
const question = (model = provider().chatModel(CHAT_MODEL)) => ({
  model,
  instructions: MESSAGES[0].content,
  messages: MESSAGES.slice(1),
  maxOutputTokens: MAX_TOKENS,
  temperature: 0,
  maxRetries: 0,
});
const said = ({ statusCode, data, message }) => ({ status: statusCode, code: data?.error?.code, message });
const counted = ({ inputTokens, outputTokens }) => ({ prompt_tokens: inputTokens, completion_tokens: outputTokens });

await report({
  async chat() {
    const { text, finishReason, usage } = await generateText(question());
    return { text, finish: finishReason, usage: counted(usage) };
  },
  async stream() {
    const stream = streamText(question());
    let text = "";
    for await (const delta of stream.textStream) text += delta;
    return { text, finish: await stream.finishReason, usage: counted(await stream.usage) };
  },
  async flattened() {
    const model = provider().completionModel(CHAT_MODEL);
    return (await generateText(question(model))).text;
  },
  async embeddings() {
    return (await embedMany({ model: provider().embeddingModel(EMBEDDING_MODEL), values: TEXTS, maxRetries: 0 }))
      .embeddings;
  },
  unauthorized: () => failure(() => generateText(question(provider("wrong").chatModel(CHAT_MODEL))), said),
  unknown: () => failure(() => generateText(question(provider().chatModel("nothing"))), said),
  bad: () => failure(() => generateText({ ...question(), temperature: BAD_TEMPERATURE }), said),
});

const leaving = new AbortController();
const stream = streamText({
  ...question(provider().chatModel(SLOW_MODEL)),
  maxOutputTokens: LONG,
  abortSignal: leaving.signal,
});
for await (const _ of stream.textStream) leaving.abort();
await left();
