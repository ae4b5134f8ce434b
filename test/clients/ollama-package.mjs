/** The package ollama for Node, which knows of no key: the server lets requests from its own machine in without one. */
import { Ollama } from "ollama";
import { z } from "zod";
import { ABOUT, ASKING, ENOUGH, Person, Place, TOOL, WEATHER } from "./forms.mjs";
import {
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

const client = new Ollama({ host: BASE_URL });
const stranger = new Ollama({ host: BASE_URL, headers: { authorization: "Bearer wrong" } });
const options = { temperature: 0, num_predict: MAX_TOKENS };
const question = { model: CHAT_MODEL, messages: MESSAGES, options };
const prompted = { model: CHAT_MODEL, system: MESSAGES[0].content, prompt: MESSAGES[1].content, options };
const slow = { model: SLOW_MODEL, messages: ABOUT, options: { temperature: 0, num_predict: ENOUGH } };
const tools = [{ type: "function", function: { ...TOOL, parameters: z.toJSONSchema(Place) } }];
const said = ({ status_code: status, error }) => ({ status, code: null, message: error });
const counted = ({ prompt_eval_count, eval_count }) => ({
  prompt_tokens: prompt_eval_count,
  completion_tokens: eval_count,
});
const seen = (text, last) => ({ text, finish: last.done_reason, usage: counted(last) });

async function streamed(parts, textIn) {
  let text = "";
  let last;
  for await (const part of parts) {
    text += textIn(part);
    last = part;
  }
  return seen(text, last);
}

async function loop(ask) {
  const messages = [...ASKING];
  const calls = [];
  for (;;) {
    const message = await ask({ ...slow, messages, tools });
    messages.push(message);
    if (message.tool_calls === undefined) return { calls, answer: message.content };
    for (const { function: called } of message.tool_calls) {
      calls.push(called);
      messages.push({ role: "tool", content: WEATHER, tool_name: called.name });
    }
  }
}

async function messageOf(parts) {
  const whole = { role: "assistant", content: "" };
  for await (const { message } of parts) {
    whole.content += message.content;
    if (message.tool_calls !== undefined) (whole.tool_calls ??= []).push(...message.tool_calls);
  }
  return whole;
}

await report({
  async chat() {
    const answer = await client.chat(question);
    return seen(answer.message.content, answer);
  },
  stream: async () => streamed(await client.chat({ ...question, stream: true }), ({ message: { content } }) => content),
  async latest() {
    const answer = await client.chat({ ...question, model: `${CHAT_MODEL}:latest` });
    return seen(answer.message.content, answer);
  },
  async windowed() {
    const asked = { ...question, options: { ...options, num_ctx: 512, repeat_penalty: 1 }, keep_alive: "5m" };
    const answer = await client.chat(asked);
    return seen(answer.message.content, answer);
  },
  async generated() {
    const answer = await client.generate(prompted);
    return seen(answer.response, answer);
  },
  generatedStreamed: async () =>
    streamed(await client.generate({ ...prompted, stream: true }), ({ response }) => response),
  embeddings: async () => (await client.embed({ model: EMBEDDING_MODEL, input: TEXTS })).embeddings,
  async parsed() {
    const { message } = await client.chat({ ...slow, format: z.toJSONSchema(Person) });
    return { person: JSON.parse(message.content) };
  },
  async object() {
    const { message } = await client.chat({ ...slow, format: "json" });
    return { object: JSON.parse(message.content) };
  },
  loop: () => loop(async (asked) => (await client.chat(asked)).message),
  loopStreamed: () => loop(async (asked) => messageOf(await client.chat({ ...asked, stream: true }))),
  models: async () =>
    (await client.list()).models.map(({ name, model, size, digest }) => ({ name, model, size, digest })),
  async shown() {
    const { capabilities, model_info: info, details } = await client.show({ model: CHAT_MODEL });
    const context = Object.entries(info instanceof Map ? Object.fromEntries(info) : info);
    return { capabilities, details, context: context.find(([name]) => name.endsWith(".context_length"))?.[1] };
  },
  running: async () => (await client.ps()).models.map(({ name }) => name),
  version: async () => (await client.version()).version,
  unauthorized: () => failure(() => stranger.chat(question), said),
  unknown: () => failure(() => client.chat({ ...question, model: "nothing" }), said),
  bad: () => failure(() => client.chat({ ...question, options: { ...options, temperature: BAD_TEMPERATURE } }), said),
});

const stream = await client.chat({ ...slow, stream: true, options: { num_predict: LONG } });
for await (const _ of stream) break;
stream.abort();
await left();
