/** The package @anthropic-ai/sdk. */
import Anthropic from "@anthropic-ai/sdk";
import { z } from "zod";
import { ASKING, ENOUGH, Place, TOOL, WEATHER } from "./forms.mjs";
import {
  API_KEY,
  BAD_TEMPERATURE,
  BASE_URL,
  CHAT_MODEL,
  failure,
  left,
  LONG,
  MAX_TOKENS,
  MESSAGES,
  report,
  SLOW_MODEL,
} from "./steps.mjs";

const settings = { baseURL: BASE_URL, maxRetries: 0 };
const { messages } = new Anthropic({ ...settings, apiKey: API_KEY });
const bearer = new Anthropic({ ...settings, apiKey: null, authToken: API_KEY });
const stranger = new Anthropic({ ...settings, apiKey: "wrong" });
const [{ content: system }, ...asked] = MESSAGES;
const question = { model: CHAT_MODEL, system, messages: asked, max_tokens: MAX_TOKENS, temperature: 0 };
const asking = {
  model: SLOW_MODEL,
  system: ASKING[0].content,
  max_tokens: ENOUGH,
  temperature: 0,
  tools: [{ name: TOOL.name, description: TOOL.description, input_schema: z.toJSONSchema(Place) }],
};
const said = ({ status, error, message }) => ({ status, code: error?.error?.type, message });
const textIn = ({ content }) =>
  content
    .filter(({ type }) => type === "text")
    .map(({ text }) => text)
    .join("");
const seen = (answer) => ({
  text: textIn(answer),
  finish: answer.stop_reason,
  usage: {
    // What a slot knew already is counted apart.
    prompt_tokens: answer.usage.input_tokens + (answer.usage.cache_read_input_tokens ?? 0),
    completion_tokens: answer.usage.output_tokens,
  },
});

async function loop(ask) {
  const all = ASKING.slice(1);
  const calls = [];
  const finishes = [];
  for (;;) {
    const answer = await ask({ ...asking, messages: all });
    finishes.push(answer.stop_reason);
    all.push({ role: "assistant", content: answer.content });
    const wanted = answer.content.filter(({ type }) => type === "tool_use");
    if (wanted.length === 0) return { calls, answer: textIn(answer), finishes };
    calls.push(...wanted.map(({ name, input }) => ({ name, arguments: input })));
    all.push({
      role: "user",
      content: wanted.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: WEATHER })),
    });
  }
}

await report({
  chat: async () => seen(await messages.create(question)),
  byBearer: async () => seen(await bearer.messages.create(question)),
  async stream() {
    const stream = messages.stream(question);
    let text = "";
    stream.on("text", (delta) => (text += delta));
    const whole = await stream.finalMessage();
    return { ...seen(whole), same: textIn(whole) === text };
  },
  stopped: async () => textIn(await messages.create({ ...question, stop_sequences: ["Paris"] })),
  counted: async () => (await messages.countTokens({ model: CHAT_MODEL, system, messages: asked })).input_tokens,
  loop: () => loop((all) => messages.create(all)),
  loopStreamed: () => loop((all) => messages.stream(all).finalMessage()),
  async required() {
    const answer = await messages.create({ ...asking, messages: asked, tool_choice: { type: "any" } });
    const calls = answer.content.filter(({ type }) => type === "tool_use");
    return { calls: calls.map(({ name, input }) => ({ name, arguments: input })) };
  },
  unauthorized: () => failure(() => stranger.messages.create(question), said),
  unknown: () => failure(() => messages.create({ ...question, model: "nothing" }), said),
  bad: () => failure(() => messages.create({ ...question, temperature: BAD_TEMPERATURE }), said),
});

const stream = await messages.create({ ...question, model: SLOW_MODEL, max_tokens: LONG, stream: true });
for await (const _ of stream) break;
stream.controller.abort();
await left();
