/** LangChain for Node: @langchain/openai. It lists no models. */
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
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

const client = (changes) => ({ apiKey: API_KEY, maxRetries: 0, configuration: { baseURL: BASE_URL }, ...changes });
const chat = (changes) =>
  new ChatOpenAI(client({ model: CHAT_MODEL, maxTokens: MAX_TOKENS, temperature: 0, ...changes }));
const said = ({ status, code, message }) => ({ status, code, message });
const counted = ({ input_tokens, output_tokens }) => ({
  prompt_tokens: input_tokens,
  completion_tokens: output_tokens,
});

await report({
  async chat() {
    const { content, response_metadata, usage_metadata } = await chat().invoke(MESSAGES);
    return { text: content, finish: response_metadata.finish_reason, usage: counted(usage_metadata) };
  },
  async stream() {
    let whole;
    for await (const chunk of await chat().stream(MESSAGES)) whole = whole === undefined ? chunk : whole.concat(chunk);
    return { text: whole.content, finish: whole.response_metadata.finish_reason, usage: counted(whole.usage_metadata) };
  },
  embeddings: () => new OpenAIEmbeddings(client({ model: EMBEDDING_MODEL })).embedDocuments(TEXTS),
  unauthorized: () => failure(() => chat({ apiKey: "wrong" }).invoke(MESSAGES), said),
  unknown: () => failure(() => chat({ model: "nothing" }).invoke(MESSAGES), said),
  bad: () => failure(() => chat({ temperature: BAD_TEMPERATURE }).invoke(MESSAGES), said),
});

const leaving = new AbortController();
const stream = await chat({ model: SLOW_MODEL, maxTokens: LONG }).stream(MESSAGES, { signal: leaving.signal });
try {
  for await (const _ of stream) leaving.abort();
} catch (error) {
  if (!leaving.signal.aborted) throw error;
}
await left();
