/** The package openai for Node: responses. */
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { ABOUT, ASKING, ENOUGH, Person, Place, TOOL, WEATHER } from "./forms.mjs";
import {
  API_KEY,
  BAD_TEMPERATURE,
  BASE_URL,
  CHAT_MODEL,
  failure,
  LONG,
  MAX_TOKENS,
  MESSAGES,
  SLOW_MODEL,
} from "./steps.mjs";
import { AGAIN, readPieces, storyOf, until } from "./stories.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });
const { responses } = client;
const [{ content: instructions }, { content: input }] = MESSAGES;
const question = { model: CHAT_MODEL, instructions, input, max_output_tokens: MAX_TOKENS, temperature: 0 };
const behind = { ...question, model: SLOW_MODEL, background: true, max_output_tokens: 60 };
const formed = {
  model: SLOW_MODEL,
  input: ABOUT,
  max_output_tokens: ENOUGH,
  temperature: 0,
  text: { format: zodTextFormat(Person, "person") },
};
const asking = {
  model: SLOW_MODEL,
  max_output_tokens: ENOUGH,
  temperature: 0,
  tools: [zodResponsesFunction({ ...TOOL, parameters: Place })],
};
const said = ({ status, code, message }) => ({ status, code, message });
const seen = ({ output_text: text, status: finish, usage }) => ({
  text,
  finish,
  usage: { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens },
});
const callsIn = ({ output }) => output.filter(({ type }) => type === "function_call");
const results = (calls) => calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: WEATHER }));
const foundCalls = (calls) => calls.map(({ name, arguments: text }) => ({ name, arguments: JSON.parse(text) }));

/** Sends the whole conversation each time, as it came. */
async function loop(ask) {
  const items = [...ASKING];
  const calls = [];
  for (;;) {
    const answer = await ask({ ...asking, input: items });
    const wanted = callsIn(answer);
    if (wanted.length === 0) return { calls: foundCalls(calls), answer: answer.output_text };
    calls.push(...wanted);
    items.push(...answer.output, ...results(wanted));
  }
}

export const steps = {
  chat: async () => seen(await responses.create(question)),
  async stream() {
    const stream = responses.stream(question);
    let text = "";
    stream.on("response.output_text.delta", ({ delta }) => (text += delta));
    const whole = await stream.finalResponse();
    return { ...seen(whole), same: whole.output_text === text };
  },
  async echoed() {
    const { id } = await responses.create({ ...question, metadata: { of: "a test" } });
    const { metadata, model, instructions: told, max_output_tokens: most } = await responses.retrieve(id);
    return { metadata, model, same: told === instructions && most === MAX_TOKENS };
  },
  parsed: async () => ({ person: (await responses.parse(formed)).output_parsed }),
  async streamed() {
    const stream = responses.stream(formed);
    let text = "";
    stream.on("response.output_text.delta", ({ delta }) => (text += delta));
    const whole = await stream.finalResponse();
    return { person: whole.output_parsed, same: whole.output_text === text };
  },
  loop: () => loop((asked) => responses.parse(asked)),
  loopStreamed: () => loop((asked) => responses.stream(asked).finalResponse()),
  /** The server knows the rest of the conversation. */
  async chained() {
    const first = await responses.create({ ...asking, input: ASKING });
    const calls = callsIn(first);
    const next = { ...asking, previous_response_id: first.id, input: results(calls) };
    return { calls: foundCalls(calls), answer: (await responses.create(next)).output_text };
  },
  async talked() {
    const { id } = await responses.create(question);
    const second = await responses.create({ ...question, previous_response_id: id, input: AGAIN });
    await responses.delete(id);
    return { text: (await responses.retrieve(second.id)).output_text };
  },
  async background() {
    const { id, status } = await responses.create({ ...question, background: true });
    return { begun: status, ...seen(await until(() => responses.retrieve(id))) };
  },
  /** A reader leaves, and another one goes on where it was. */
  async resumed() {
    const events = await readPieces(await responses.create({ ...behind, stream: true }), 3);
    const { id } = events[0].response;
    const { sequence_number } = events.at(-1);
    await readPieces(await responses.retrieve(id, { stream: true, starting_after: sequence_number }), Infinity, events);
    const replay = responses.stream({ response_id: id });
    const again = [];
    for await (const event of replay) again.push(event);
    return { id, ...storyOf(events), again: storyOf(again).texts };
  },
  async canceled() {
    const { id } = await responses.create({ ...behind, max_output_tokens: LONG });
    const { status } = await responses.cancel(id);
    return [status, (await responses.retrieve(id)).status];
  },
  async removed() {
    const { id } = await responses.create(question);
    await responses.delete(id);
    return failure(() => responses.retrieve(id), said);
  },
  async unstored() {
    const { id, output_text: text } = await responses.create({ ...question, store: false });
    return { text, ...(await failure(() => responses.retrieve(id), said)) };
  },
  async beyond() {
    const { id } = await responses.create(question);
    return failure(() => responses.retrieve(id, { stream: true, starting_after: 2 ** 30 }), said);
  },
  unauthorized: () => failure(() => client.withOptions({ apiKey: "wrong" }).responses.create(question), said),
  unknown: () => failure(() => responses.create({ ...question, model: "nothing" }), said),
  bad: () => failure(() => responses.create({ ...question, temperature: BAD_TEMPERATURE }), said),
};
