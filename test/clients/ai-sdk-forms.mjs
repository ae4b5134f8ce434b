/** The AI SDK: answers of a form and tools, by both of its packages that speak this API. */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, isStepCount, Output, streamObject, streamText, tool } from "ai";
import { ABOUT, ASKING, ENOUGH, Order, Person, Place, reportForms, SEEDS, TOOL, WEATHER } from "./forms.mjs";
import { API_KEY, BASE_URL, CHAT_MODEL } from "./steps.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const settings = { baseURL: BASE_URL, apiKey: API_KEY };
const compatible = createOpenAICompatible({ ...settings, name: "alt-las", supportsStructuredOutputs: true });
const model = compatible.chatModel(CHAT_MODEL);
const openai = createOpenAI(settings).chat(CHAT_MODEL);

const asked = ([{ content: instructions }, ...messages]) => ({
  instructions,
  messages,
  maxOutputTokens: ENOUGH,
  maxRetries: 0,
  temperature: 0,
});

async function parsed(of) {
  const { object, finishReason: finish } = await generateObject({ ...asked(ABOUT), model: of, schema: Person });
  return { person: object, finish };
}

async function streamed(of) {
  const stream = streamObject({ ...asked(ABOUT), model: of, schema: Person });
  let last;
  for await (const part of stream.partialObjectStream) last = part;
  const person = await stream.object;
  return { person, finish: await stream.finishReason, same: JSON.stringify(last) === JSON.stringify(person) };
}

/** Calls, and what they are told; a model is asked until it answers. */
function withTool(of) {
  const calls = [];
  const execute = async (place) => {
    calls.push({ name: TOOL.name, arguments: place });
    return WEATHER;
  };
  const tools = { [TOOL.name]: tool({ description: TOOL.description, inputSchema: Place, execute }) };
  return { calls, asking: { ...asked(ASKING), model: of, tools, stopWhen: isStepCount(3) } };
}

async function loop(of) {
  const { calls, asking } = withTool(of);
  const { text, steps } = await generateText(asking);
  return { calls, answer: text, finishes: steps.map(({ finishReason }) => finishReason) };
}

async function loopStreamed(of) {
  const { calls, asking } = withTool(of);
  const stream = streamText(asking);
  let answer = "";
  for await (const delta of stream.textStream) answer += delta;
  return { calls, answer, finishes: (await stream.steps).map(({ finishReason }) => finishReason) };
}

await reportForms({
  parsed: () => parsed(model),
  streamed: () => streamed(model),
  parsedByOpenAi: () => parsed(openai),
  streamedByOpenAi: () => streamed(openai),
  async order() {
    const order = { ...asked(ABOUT), model, schema: Order, temperature: 1, maxOutputTokens: 5000 };
    const orders = await Promise.all(SEEDS.map((seed) => generateObject({ ...order, seed })));
    return { orders: orders.map(({ object }) => object) };
  },
  async output() {
    const { output } = await generateText({ ...asked(ABOUT), model, output: Output.object({ schema: Person }) });
    return { person: output };
  },
  async named() {
    const tools = { [TOOL.name]: tool({ description: TOOL.description, inputSchema: Place }) };
    const toolChoice = { type: "tool", toolName: TOOL.name };
    const { toolCalls } = await generateText({ ...asked(ABOUT), model, tools, toolChoice });
    return { calls: toolCalls.map(({ toolName: name, input }) => ({ name, arguments: input })) };
  },
  loop: () => loop(model),
  loopStreamed: () => loopStreamed(model),
  loopByOpenAi: () => loop(openai),
  loopStreamedByOpenAi: () => loopStreamed(openai),
});
