/** LangChain for Node with the Responses API. */
import { ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { ABOUT, ASKING, ENOUGH, Person, Place, TOOL, WEATHER } from "./forms.mjs";
import { API_KEY, BAD_TEMPERATURE, BASE_URL, CHAT_MODEL, failure, MAX_TOKENS, MESSAGES, SLOW_MODEL } from "./steps.mjs";
import { AGAIN } from "./stories.mjs";

const settings = { apiKey: API_KEY, maxRetries: 0, configuration: { baseURL: BASE_URL }, useResponsesApi: true };
const chat = (changes) =>
  new ChatOpenAI({ ...settings, model: CHAT_MODEL, maxTokens: MAX_TOKENS, temperature: 0, ...changes });
const slow = chat({ model: SLOW_MODEL, maxTokens: ENOUGH });
const said = ({ status, code, message }) => ({ status, code, message });
const seen = ({ text, response_metadata: { status: finish }, usage_metadata: usage }) => ({
  text,
  finish,
  usage: { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens },
});

export const steps = {
  chat: async () => seen(await chat().invoke(MESSAGES)),
  async stream() {
    let whole;
    for await (const chunk of await chat().stream(MESSAGES)) whole = whole === undefined ? chunk : whole.concat(chunk);
    return seen(whole);
  },
  async parsed() {
    return { person: await slow.withStructuredOutput(Person, { name: "person", method: "jsonSchema" }).invoke(ABOUT) };
  },
  async loop() {
    const withTool = slow.bindTools([tool(async () => WEATHER, { ...TOOL, schema: Place })]);
    const messages = [...ASKING];
    const calls = [];
    for (;;) {
      const message = await withTool.invoke(messages);
      messages.push(message);
      if (message.tool_calls.length === 0) return { calls, answer: message.text };
      calls.push(...message.tool_calls.map(({ name, args }) => ({ name, arguments: args })));
      for (const { id } of message.tool_calls) messages.push(new ToolMessage({ content: WEATHER, tool_call_id: id }));
    }
  },
  async talked() {
    const messages = [...MESSAGES, await chat().invoke(MESSAGES), { role: "user", content: AGAIN }];
    return { text: (await chat().invoke(messages)).text };
  },
  async chained() {
    const { id } = (await chat().invoke(MESSAGES)).response_metadata;
    const next = [MESSAGES[0], { role: "user", content: AGAIN }];
    return { text: (await chat().invoke(next, { previous_response_id: id })).text };
  },
  unauthorized: () => failure(() => chat({ apiKey: "wrong" }).invoke(MESSAGES), said),
  unknown: () => failure(() => chat({ model: "nothing" }).invoke(MESSAGES), said),
  bad: () => failure(() => chat({ temperature: BAD_TEMPERATURE }).invoke(MESSAGES), said),
};
