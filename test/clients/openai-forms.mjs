/** The package openai for Node: answers of a form, tools, and the probabilities of tokens. */
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { ABOUT, ASKING, ENOUGH, Order, Person, Place, reportForms, SEEDS, TOOL, WEATHER } from "./forms.mjs";
import { API_KEY, BASE_URL, CHAT_MODEL } from "./steps.mjs";

const { completions } = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 }).chat;
const question = { model: CHAT_MODEL, max_tokens: ENOUGH, temperature: 0 };
const formed = { ...question, messages: ABOUT, response_format: zodResponseFormat(Person, "person") };
const tools = [zodFunction({ ...TOOL, parameters: Place })];
const asking = { ...question, messages: ASKING, tools };
const callsOf = ({ tool_calls = [] }) =>
  tool_calls.map(({ function: { name, parsed_arguments } }) => ({ name, arguments: parsed_arguments }));
const tokensOf = ({ content }) =>
  content.map(({ token, logprob, top_logprobs: top }) => [token, logprob, top.map((other) => other.logprob)]);

/** The loop of calls that the package runs by itself. */
async function loop(changes) {
  const calls = [];
  const run = async (place) => {
    calls.push({ name: TOOL.name, arguments: place });
    return WEATHER;
  };
  const tool = zodFunction({ ...TOOL, parameters: Place, function: run });
  const runner = completions.runTools({ ...asking, tools: [tool], ...changes });
  const answer = await runner.finalContent();
  return { calls, answer, roles: runner.messages.map(({ role }) => role) };
}

await reportForms({
  async parsed() {
    const { choices } = await completions.parse(formed);
    return { person: choices[0].message.parsed, finish: choices[0].finish_reason };
  },
  async streamed() {
    const stream = completions.stream(formed);
    let text = "";
    stream.on("content.delta", ({ delta }) => (text += delta));
    const [{ message, finish_reason: finish }] = (await stream.finalChatCompletion()).choices;
    return { person: message.parsed, finish, same: message.content === text };
  },
  async order() {
    const format = zodResponseFormat(Order, "order");
    const orders = SEEDS.map((seed) =>
      completions.parse({ ...formed, temperature: 1, seed, max_tokens: 5000, response_format: format }),
    );
    return { orders: (await Promise.all(orders)).map(({ choices }) => choices[0].message.parsed) };
  },
  async object() {
    const response_format = { type: "json_object" };
    const { choices } = await completions.create({ ...question, messages: ABOUT, response_format });
    return { object: JSON.parse(choices[0].message.content), finish: choices[0].finish_reason };
  },
  async likely() {
    const asked = { ...question, messages: ABOUT, max_tokens: 12, logprobs: true, top_logprobs: 3 };
    const [{ message, logprobs }] = (await completions.create(asked)).choices;
    return { text: message.content, tokens: tokensOf(logprobs) };
  },
  async likelyStreamed() {
    const asked = { ...question, messages: ABOUT, max_tokens: 12, logprobs: true, top_logprobs: 3 };
    const [{ message, logprobs }] = (await completions.stream(asked).finalChatCompletion()).choices;
    return { text: message.content, tokens: tokensOf(logprobs) };
  },
  async called() {
    const [{ message, finish_reason: finish }] = (await completions.parse(asking)).choices;
    return { calls: callsOf(message), finish };
  },
  async required() {
    const asked = { ...asking, messages: ABOUT, tool_choice: "required", parallel_tool_calls: false };
    const [{ message, finish_reason: finish }] = (await completions.parse(asked)).choices;
    return { calls: callsOf(message), finish };
  },
  async named() {
    const tool_choice = { type: "function", function: { name: TOOL.name } };
    const [{ message }] = (await completions.parse({ ...asking, messages: ABOUT, tool_choice })).choices;
    return { calls: callsOf(message) };
  },
  async none() {
    const [{ message }] = (await completions.create({ ...asking, max_tokens: 8, tool_choice: "none" })).choices;
    return { calls: callsOf(message), answer: message.content };
  },
  async calledStreamed() {
    const stream = completions.stream(asking);
    const pieces = [];
    let done;
    stream.on("tool_calls.function.arguments.delta", ({ arguments_delta }) => pieces.push(arguments_delta));
    stream.on("tool_calls.function.arguments.done", (call) => (done = call));
    const [{ message, finish_reason: finish }] = (await stream.finalChatCompletion()).choices;
    return { calls: callsOf(message), finish, same: done.arguments === pieces.join("") };
  },
  loop: () => loop({}),
  loopStreamed: () => loop({ stream: true }),
});
