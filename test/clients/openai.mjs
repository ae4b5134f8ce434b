/** The package openai for Node. */
import OpenAI from "openai";
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

const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });
const question = { model: CHAT_MODEL, messages: MESSAGES, max_tokens: MAX_TOKENS, temperature: 0 };
const wrong = { status: (error) => error.status, code: (error) => error.code, message: (error) => error.message };
const said = (error) => Object.fromEntries(Object.entries(wrong).map(([name, of]) => [name, of(error)]));

await report({
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return [...ids, (await client.models.retrieve(CHAT_MODEL)).id];
  },
  async chat() {
    const { choices, usage } = await client.chat.completions.create(question);
    return { text: choices[0].message.content, finish: choices[0].finish_reason, usage };
  },
  async stream() {
    const stream = client.chat.completions.stream({ ...question, stream_options: { include_usage: true } });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const { choices, usage } = await stream.finalChatCompletion();
    return { text, finish: choices[0].finish_reason, usage, same: choices[0].message.content === text };
  },
  async choices() {
    const { choices } = await client.chat.completions.create({ ...question, n: 2, temperature: 1, seed: 7 });
    return choices.map(({ index, message }) => [index, message.content]);
  },
  async completion() {
    const { choices } = await client.completions.create({
      model: CHAT_MODEL,
      prompt: "The capital of France is",
      max_tokens: 4,
      temperature: 0,
    });
    return choices[0].text;
  },
  async embeddings() {
    const { data } = await client.embeddings.create({ model: EMBEDDING_MODEL, input: TEXTS });
    return data.map(({ embedding }) => embedding);
  },
  async floats() {
    const { data } = await client.embeddings.create({
      model: EMBEDDING_MODEL,
      input: TEXTS[0],
      encoding_format: "float",
    });
    return data.map(({ embedding }) => embedding);
  },
  unauthorized: () =>
    failure(() => new OpenAI({ baseURL: BASE_URL, apiKey: "wrong", maxRetries: 0 }).models.list(), said),
  unknown: () => failure(() => client.chat.completions.create({ ...question, model: "nothing" }), said),
  bad: () => failure(() => client.chat.completions.create({ ...question, temperature: BAD_TEMPERATURE }), said),
});

const stream = await client.chat.completions.create({ ...question, model: SLOW_MODEL, max_tokens: LONG, stream: true });
for await (const _ of stream) break;
stream.controller.abort();
await left();
