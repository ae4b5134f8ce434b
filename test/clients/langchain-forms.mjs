/** LangChain for Node: answers of a form and tools. */
import { ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { ABOUT, ASKING, ENOUGH, Order, Person, Place, reportForms, SEEDS, TOOL, WEATHER } from "./forms.mjs";
import { API_KEY, BASE_URL, CHAT_MODEL } from "./steps.mjs";

const settings = { model: CHAT_MODEL, apiKey: API_KEY, maxRetries: 0, configuration: { baseURL: BASE_URL } };
const model = new ChatOpenAI({ ...settings, maxTokens: ENOUGH, temperature: 0 });
const seeded = (seed) => new ChatOpenAI({ ...settings, maxTokens: 5000, temperature: 1, modelKwargs: { seed } });
const structured = (method) => model.withStructuredOutput(Person, { name: "person", method });
const weather = tool(async () => WEATHER, { ...TOOL, schema: Place });
const withTool = model.bindTools([weather]);
const callsOf = ({ tool_calls: calls }) => calls.map(({ name, args }) => ({ name, arguments: args }));

await reportForms({
  parsed: async () => ({ person: await structured("jsonSchema").invoke(ABOUT) }),
  async streamed() {
    let person;
    for await (const part of await structured("jsonSchema").stream(ABOUT)) person = part;
    return { person };
  },
  async order() {
    // It does not get to the end of a schema that refers to itself.
    const Flat = Order.omit({ plan: true });
    const orders = SEEDS.map((seed) =>
      seeded(seed).withStructuredOutput(Flat, { name: "order", method: "jsonSchema" }).invoke(ABOUT),
    );
    return { orders: await Promise.all(orders) };
  },
  byCall: async () => ({ person: await structured("functionCalling").invoke(ABOUT) }),
  async called() {
    const message = await withTool.invoke(ASKING);
    return { calls: callsOf(message), finish: message.response_metadata.finish_reason };
  },
  async required() {
    const asked = model.bindTools([weather], { tool_choice: "required", parallel_tool_calls: false });
    return { calls: callsOf(await asked.invoke(ABOUT)) };
  },
  async calledStreamed() {
    let whole;
    let chunks = 0;
    for await (const chunk of await withTool.stream(ASKING)) {
      chunks += chunk.tool_call_chunks?.length ?? 0;
      whole = whole === undefined ? chunk : whole.concat(chunk);
    }
    return { calls: callsOf(whole), finish: whole.response_metadata.finish_reason, same: chunks > 0 };
  },
  async loop() {
    const messages = [...ASKING];
    const calls = [];
    for (;;) {
      const message = await withTool.invoke(messages);
      messages.push(message);
      if (message.tool_calls.length === 0) return { calls, answer: message.content };
      calls.push(...callsOf(message));
      for (const { id } of message.tool_calls) messages.push(new ToolMessage({ content: WEATHER, tool_call_id: id }));
    }
  },
});
