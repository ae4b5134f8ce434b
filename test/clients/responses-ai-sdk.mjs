/** The AI SDK with @ai-sdk/openai, which asks for responses unless it is told otherwise. */
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, isStepCount, streamObject, streamText, tool } from "ai";
import { ABOUT, ASKING, ENOUGH, Person, Place, TOOL, WEATHER } from "./forms.mjs";
import { API_KEY, BAD_TEMPERATURE, BASE_URL, CHAT_MODEL, failure, MAX_TOKENS, MESSAGES, SLOW_MODEL } from "./steps.mjs";
import { AGAIN } from "./stories.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const provider = (apiKey = API_KEY) => createOpenAI({ baseURL: BASE_URL, apiKey });
const asked = ([{ content: instructions }, ...messages], model, maxOutputTokens) => ({
  model,
  instructions,
  messages,
  maxOutputTokens,
  maxRetries: 0,
  temperature: 0,
});
const question = (model = provider()(CHAT_MODEL)) => asked(MESSAGES, model, MAX_TOKENS);
const about = () => ({ ...asked(ABOUT, provider()(SLOW_MODEL), ENOUGH), schema: Person });
const said = ({ statusCode, data, message }) => ({ status: statusCode, code: data?.error?.code, message });
const counted = ({ inputTokens, outputTokens }) => ({ prompt_tokens: inputTokens, completion_tokens: outputTokens });

function withTool() {
  const calls = [];
  const execute = async (place) => {
    calls.push({ name: TOOL.name, arguments: place });
    return WEATHER;
  };
  const tools = { [TOOL.name]: tool({ description: TOOL.description, inputSchema: Place, execute }) };
  return { calls, asking: { ...asked(ASKING, provider()(SLOW_MODEL), ENOUGH), tools, stopWhen: isStepCount(3) } };
}

export const steps = {
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
  parsed: async () => ({ person: (await generateObject(about())).object }),
  async streamed() {
    const stream = streamObject(about());
    let last;
    for await (const part of stream.partialObjectStream) last = part;
    const person = await stream.object;
    return { person, same: JSON.stringify(last) === JSON.stringify(person) };
  },
  async loop() {
    const { calls, asking } = withTool();
    return { calls, answer: (await generateText(asking)).text };
  },
  async loopStreamed() {
    const { calls, asking } = withTool();
    let answer = "";
    for await (const delta of streamText(asking).textStream) answer += delta;
    return { calls, answer };
  },
  /** Of what was said before it sends no more than references. */
  async talked() {
    const first = question();
    const { response } = await generateText(first);
    const messages = [...first.messages, ...response.messages, { role: "user", content: AGAIN }];
    return { text: (await generateText({ ...first, messages })).text };
  },
  unauthorized: () => failure(() => generateText(question(provider("wrong")(CHAT_MODEL))), said),
  unknown: () => failure(() => generateText(question(provider()("nothing"))), said),
  bad: () => failure(() => generateText({ ...question(), temperature: BAD_TEMPERATURE }), said),
};
