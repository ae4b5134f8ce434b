/** OpenAI's Responses API, from a whole server with the simulated engine: every form that clients ask in, and what is stored of it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startLocalServer } from "./helpers/local-server.ts";
import { envelopeOf } from "./helpers/openai.ts";
import { type OutputItem, ResponseClient, responseEventsOf, saidBy } from "./helpers/response-client.ts";

const server = await startLocalServer(
  { after },
  {
    config: `
engine: { simulated: { tokens_per_second: 0 } }
api: { openai: { default_max_tokens: 6 } }`,
    devices: "simulated:2",
  },
);
await server.loaded();

interface ResponseBody {
  readonly id: string;
  readonly status: string;
  readonly output: readonly OutputItem[];
  readonly [field: string]: unknown;
}

async function asked(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const response = await fetch(server.url + path, {
    method,
    headers: {
      authorization: `Bearer ${server.key}`,
      ...(body !== undefined && { "content-type": "application/json" }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { statusCode: response.status, headers: response.headers, body: await response.text() };
}

async function made(body: object): Promise<ResponseBody> {
  const { statusCode, body: text } = await asked("POST", "/v1/responses", body);
  assert.equal(statusCode, 200, text);
  return JSON.parse(text) as ResponseBody;
}

async function got(id: string): Promise<ResponseBody> {
  const { statusCode, body } = await asked("GET", `/v1/responses/${id}`);
  assert.equal(statusCode, 200, body);
  return JSON.parse(body) as ResponseBody;
}

function textOf({ output }: ResponseBody): string {
  return output.filter(({ type }) => type === "message").map(saidBy).join(""); // prettier-ignore
}

/** Waits for the end of a response that runs in the background. */
async function ended(id: string): Promise<ResponseBody> {
  await server.ended(taskIdOf(id));
  return got(id);
}

function taskIdOf(id: string): string {
  return id.slice(5).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function requestOf(id: string): Promise<Record<string, unknown>> {
  const { body } = await asked("GET", `/api/v1/task/${taskIdOf(id)}?include=text`);
  return (JSON.parse(body) as { request: Record<string, unknown> }).request;
}

test("a response has every field, and its id is that of its task", async () => {
  const { headers, body } = await asked("POST", "/v1/responses", {
    model: "simulated",
    input: "Hello",
    max_output_tokens: 3,
    metadata: { key: "value" },
    user: "me",
  });
  const { id, created_at, completed_at, output, ...rest } = JSON.parse(body) as ResponseBody;
  assert.equal(headers.get("x-task-id"), taskIdOf(id));
  const task = await server.task(taskIdOf(id));
  assert.equal(created_at, Math.floor(Date.parse(task.created_at) / 1000));
  assert.equal(completed_at, Math.floor(Date.parse(task.finished_at!) / 1000));
  const content = [{ type: "output_text", text: " an old mill", annotations: [], logprobs: [] }];
  assert.deepEqual(output, [
    { id: `msg_${id.slice(5)}_1`, type: "message", status: "incomplete", role: "assistant", content },
  ]);
  assert.deepEqual(rest, {
    object: "response",
    status: "incomplete",
    background: false,
    error: null,
    incomplete_details: { reason: "max_output_tokens" },
    instructions: null,
    max_output_tokens: 3,
    max_tool_calls: null,
    model: "simulated",
    parallel_tool_calls: true,
    previous_response_id: null,
    prompt_cache_key: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: "default",
    store: true,
    temperature: 1,
    text: { format: { type: "text" }, verbosity: "medium" },
    tool_choice: "auto",
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: "disabled",
    usage: {
      input_tokens: 2,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 3,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 5,
    },
    user: "me",
    metadata: { key: "value" },
  });
  assert.deepEqual(await got(id), JSON.parse(body));
});

test("a stream has OpenAI's events in their order, and ends with the response that can be asked for afterwards", async () => {
  const { headers, body } = await asked("POST", "/responses", { input: "Hello", stream: true, max_output_tokens: 3 });
  assert.equal(headers.get("content-type"), "text/event-stream; charset=utf-8");
  const client = new ResponseClient().read(responseEventsOf(body));
  assert.deepEqual(
    client.types.filter((type, index) => type !== client.types[index - 1]),
    [
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.incomplete",
    ],
  );
  assert.equal(client.said().join(""), " an old mill");
  assert.deepEqual(await got(client.ended!.id), client.ended);
  const again = await asked("GET", `/v1/responses/${client.ended!.id}?stream=true`);
  const late = new ResponseClient().read(responseEventsOf(again.body));
  assert.deepEqual(late.ended, client.ended);
  assert.deepEqual(late.items, client.items);
});

test("a response in the background is answered at once, and its events can be taken up behind any of them", async () => {
  const first = await made({ input: "Hello", background: true, max_output_tokens: 20 });
  assert.equal(first.background, true);
  assert.ok(["queued", "in_progress"].includes(first.status));
  const whole = await ended(first.id);
  assert.equal(whole.status, "incomplete");
  const path = `/v1/responses/${first.id}?stream=true`;
  const all = responseEventsOf((await asked("GET", path)).body);
  assert.deepEqual(all.slice(0, 3).map(({ type, sequence_number: number }) => `${number} ${type}`), ["0 response.created", "1 response.queued", "2 response.in_progress"]); // prettier-ignore
  for (const [index, { sequence_number: last }] of all.entries()) {
    const rest = await asked("GET", `${path}&starting_after=${last}`);
    const client = new ResponseClient().read(all.slice(0, index + 1)).read(responseEventsOf(rest.body));
    assert.equal(client.said().join(""), textOf(whole));
    assert.deepEqual(client.ended, whole);
  }
  const beyond = envelopeOf(await asked("GET", `${path}&starting_after=${all.at(-1)!.sequence_number + 1}`), 400);
  assert.equal(beyond.param, "starting_after");
  assert.match(beyond.message, new RegExp(`${all.at(-1)!.sequence_number} at most`));
  const unstreamed = envelopeOf(await asked("GET", `/v1/responses/${first.id}?starting_after=0`), 400);
  assert.equal(unstreamed.param, "starting_after");
});

test("a stream in the background goes on when its reader leaves", async () => {
  const leaving = new AbortController();
  const response = await fetch(`${server.url}/v1/responses`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    body: JSON.stringify({ input: "Hello", background: true, stream: true, max_output_tokens: 4 }),
    signal: leaving.signal,
  });
  const taskId = response.headers.get("x-task-id")!;
  leaving.abort();
  assert.equal((await server.ended(taskId)).status, "completed");
});

test("input may be messages of every shape, items of an earlier output, and outputs of tools", async () => {
  const call = { type: "function_call", call_id: "call_1", name: "add", arguments: '{"a":1}' };
  const { id } = await made({
    instructions: "Be brief.",
    input: [
      { role: "developer", content: "In English." },
      { type: "message", role: "user", content: [{ type: "input_text", text: "a" }, { type: "input_text", text: "b" }] },
      { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
      { type: "message", id: "msg_1", status: "completed", role: "assistant", content: [{ type: "output_text", text: "c", annotations: [] }] },
      call,
      { ...call, call_id: "call_2" },
      { type: "function_call_output", call_id: "call_1", output: "3" },
      { type: "function_call_output", call_id: "call_2", output: [{ type: "input_text", text: "4" }] },
      { role: "user", content: "and?" },
    ],
  }); // prettier-ignore
  const calls = ["call_1", "call_2"].map((one) => ({
    id: one,
    type: "function",
    function: { name: "add", arguments: '{"a":1}' },
  }));
  assert.deepEqual((await requestOf(id))["messages"], [
    { role: "system", content: "Be brief." },
    { role: "system", content: "In English." },
    { role: "user", content: "a\nb" },
    { role: "assistant", content: "c", tool_calls: calls },
    { role: "tool", content: "3", tool_call_id: "call_1", name: "add" },
    { role: "tool", content: "4", tool_call_id: "call_2", name: "add" },
    { role: "user", content: "and?" },
  ]);
  const list = JSON.parse((await asked("GET", `/v1/responses/${id}/input_items?order=asc`)).body) as {
    data: { type: string; id: string }[];
    has_more: boolean;
  };
  const types = ["message", "message", "message", "function_call", "function_call"];
  assert.deepEqual(list.data.map(({ type }) => type), [...types, "function_call_output", "function_call_output", "message"]); // prettier-ignore
  const page = await asked("GET", `/v1/responses/${id}/input_items?limit=2&after=${list.data[6]!.id}`);
  const { data, has_more } = JSON.parse(page.body) as typeof list;
  assert.deepEqual(data, [list.data[5], list.data[4]]);
  assert.equal(has_more, true);
});

test("a response goes on with an earlier one: all that was said, without its instructions, also when that is deleted", async () => {
  const first = await made({ instructions: "Be brief.", input: "One", max_output_tokens: 2 });
  const second = await made({ instructions: "Be long.", input: "Two", previous_response_id: first.id });
  assert.equal(second["previous_response_id"], first.id);
  assert.equal(second["instructions"], "Be long.");
  const messages = [
    { role: "system", content: "Be long." },
    { role: "user", content: "One" },
    { role: "assistant", content: textOf(first) },
    { role: "user", content: "Two" },
  ];
  assert.deepEqual((await requestOf(second.id))["messages"], messages);
  const deleted = await asked("DELETE", `/v1/responses/${first.id}`);
  assert.deepEqual(JSON.parse(deleted.body), { id: first.id, object: "response", deleted: true });
  envelopeOf(await asked("GET", `/v1/responses/${first.id}`), 404);
  const third = await made({ input: "Three", previous_response_id: second.id });
  assert.deepEqual((await requestOf(third.id))["messages"], [
    ...messages.slice(1),
    { role: "assistant", content: textOf(second) },
    { role: "user", content: "Three" },
  ]);
  const gone = envelopeOf(await asked("POST", "/v1/responses", { input: "x", previous_response_id: first.id }), 404);
  assert.equal(gone.param, "previous_response_id");
});

const ADD = {
  type: "function",
  name: "add",
  description: "Adds.",
  parameters: { type: "object", properties: { a: { type: "integer" } }, required: ["a"], additionalProperties: false },
  strict: true,
};

test("tools are called, streamed or not, and their outputs go back by previous_response_id or by references", async () => {
  const body = { input: "Add", tools: [ADD], tool_choice: "required", max_output_tokens: 60 };
  const { body: text } = await asked("POST", "/v1/responses", { ...body, stream: true });
  const client = new ResponseClient().read(responseEventsOf(text));
  const { id, output, tools, tool_choice } = client.ended as ResponseBody;
  assert.deepEqual([tools, tool_choice], [[ADD], "required"]);
  const call = output.at(-1)!;
  assert.equal(call.type, "function_call");
  assert.equal(call.id, `fc_${id.slice(5)}_1_${output.length - 1}`);
  assert.equal(typeof (JSON.parse(call.arguments!) as { a: number }).a, "number");
  assert.ok(client.types.includes("response.function_call_arguments.delta"));
  const given = { type: "function_call_output", call_id: call.call_id, output: "7" };
  const second = await made({ input: [given], previous_response_id: id });
  const reference = output.map((item) => ({ type: "item_reference", id: item.id }));
  const third = await made({ input: [{ role: "user", content: "Add" }, ...reference, given] });
  const [one, other] = [await requestOf(second.id), await requestOf(third.id)];
  assert.deepEqual(one["messages"], other["messages"]);
  assert.deepEqual((one["messages"] as object[]).at(-1), { role: "tool", content: "7", tool_call_id: call.call_id, name: "add" }); // prettier-ignore
});

test("tools that the model is not told of are shown, as they were given", async () => {
  const { tools, tool_choice } = await made({ input: "x", tools: [ADD], tool_choice: "none" });
  assert.deepEqual([tools, tool_choice], [[ADD], "none"]);
});

test("an answer by a schema is of that form, and its form is shown flat", async () => {
  const schema = {
    type: "object",
    properties: { a: { type: "boolean" } },
    required: ["a"],
    additionalProperties: false,
  };
  const format = { type: "json_schema", name: "it", schema, strict: true };
  const response = await made({ input: "x", text: { format }, max_output_tokens: 40 });
  assert.equal(typeof (JSON.parse(textOf(response)) as { a: boolean }).a, "boolean");
  assert.deepEqual(response["text"], { format, verbosity: "medium" });
  const object = await made({ input: "x", text: { format: { type: "json_object" } }, max_output_tokens: 40 });
  assert.deepEqual(object["text"], { format: { type: "json_object" }, verbosity: "medium" });
});

test("what of a schema cannot be made sure of is told in the words of this API", async () => {
  const schema = { type: "object", properties: { a: { type: "string", format: "no-such" } } };
  const body = {
    input: "x",
    text: { format: { type: "json_schema", name: "it", schema } },
    tools: [{ ...ADD, strict: false, parameters: { ...schema } }],
  };
  const { headers } = await asked("POST", "/v1/responses", body);
  const warning = headers.get("x-warning")!;
  assert.match(warning, /text\.format\.schema at .*tools\[0\]\.parameters at /);
  assert.doesNotMatch(warning, /response_format|function\.parameters/);
});

test("tokens are told with their probabilities where include asks for it, in deltas and in the whole", async () => {
  const body = { input: "x", top_logprobs: 2, include: ["message.output_text.logprobs"], stream: true };
  const events = responseEventsOf((await asked("POST", "/v1/responses", body)).body);
  const told = events.filter(({ type }) => type === "response.output_text.delta").flatMap(({ logprobs }) => logprobs!);
  assert.equal(told.length, 6);
  const [message] = events.at(-1)!.response!.output;
  assert.deepEqual((message!.content![0] as unknown as { logprobs: object[] }).logprobs, told);
  const plain = await made({ input: "x", top_logprobs: 2 });
  assert.deepEqual((plain.output[0]!.content![0] as unknown as { logprobs: object[] }).logprobs, []);
});

test("a cancel needs neither a body nor its type; what has ended is shown as it is", async () => {
  const done = await made({ input: "x", max_output_tokens: 2 });
  const again = await asked("POST", `/v1/responses/${done.id}/cancel`);
  assert.equal(again.statusCode, 200, again.body);
  assert.deepEqual(JSON.parse(again.body), done);
});

test("what is not stored is not to be had, and nobody has what is somebody else's", async () => {
  const { id } = await made({ input: "x", store: false });
  const mine = await made({ input: "x" });
  const task = await server.run({ text: "x", max_length: 1 });
  const ids = [
    id,
    `resp_${task.task_id.replaceAll("-", "")}`,
    "resp_1",
    mine.id.toUpperCase().replace("RESP", "resp1"),
  ];
  for (const [method, end] of [
    ["GET", ""],
    ["GET", "?stream=true"],
    ["GET", "/input_items"],
    ["POST", "/cancel"],
    ["DELETE", ""],
  ] as const)
    for (const one of ids) {
      const { code } = envelopeOf(await asked(method, `/v1/responses/${one}${end}`), 404);
      assert.equal(code, "not_found");
    }
  assert.equal((await server.task(taskIdOf(id))).status, "completed");
  const { param } = envelopeOf(await asked("POST", "/v1/responses", { input: "x", previous_response_id: id }), 404);
  assert.equal(param, "previous_response_id");
});

test("the same Idempotency-Key gives the same response", async () => {
  const headers = { "idempotency-key": "a response" };
  const [one, two] = [
    await asked("POST", "/v1/responses", { input: "x", background: true }, headers),
    await asked("POST", "/v1/responses", { input: "x", background: true }, headers),
  ];
  assert.equal((JSON.parse(one.body) as ResponseBody).id, (JSON.parse(two.body) as ResponseBody).id);
  assert.equal(two.headers.get("idempotent-replayed"), "true");
});

const REFUSED: readonly [body: object, param: string, code: string, sentence: RegExp][] =
  [
    [{}, "input", "invalid_input", /^input is missing; it must be a string that is not empty, or a list of 1 to 4000 items\.$/],
    [{ input: "" }, "input", "invalid_input", /^input must be a string that is not empty/],
    [{ input: [{ role: "system", content: "x" }] }, "input", "invalid_input", /must have at least one message with the role "user"/],
    [{ input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }, "input[0].content[0]", "unsupported", /part of the type "input_image"/],
    [{ input: [{ role: "user", content: [{ type: "input_file" }] }] }, "input[0].content[0]", "unsupported", /part of the type "input_file"/],
    [{ input: [{ role: "tool", content: "x" }] }, "input[0].role", "invalid_input", /must be one of "system", "developer", "user", "assistant"; got "tool"\.$/],
    [{ input: [{ role: "user" }] }, "input[0].content", "invalid_input", /must be a string or a list of text parts; got no value\.$/],
    [{ input: [{ type: "computer_call_output" }] }, "input[0]", "unsupported", /item of the type "computer_call_output"/],
    [{ input: [{ type: "function_call", call_id: "a", arguments: "{}" }] }, "input[0].name", "invalid_input", /must be a string that is not empty/],
    [{ input: [{ type: "function_call_output", call_id: "a", output: "b" }] }, "input[0].call_id", "invalid_input", /names no call before it; got "a"\.$/],
    [{ input: [{ type: "item_reference", id: "msg_0" }] }, "input[0].id", "not_found", /names no item of a response/],
    [{ input: "x", prompt: { id: "a" } }, "prompt", "unsupported", /^prompt must be left out/],
    [{ input: "x", conversation: "c" }, "conversation", "unsupported", /^conversation must be left out/],
    [{ input: "x", truncation: "auto" }, "truncation", "unsupported", /^truncation must be "disabled"/],
    [{ input: "x", background: true, store: false }, "store", "invalid_input", /^store must be true where background is/],
    [{ input: "x", tools: [{ type: "web_search" }] }, "tools[0]", "unsupported", /type "web_search", which no model here can call/],
    [{ input: "x", tools: [{ type: "function" }] }, "tools[0].name", "invalid_input", /^tools\[0\]\.name is missing/],
    [{ input: "x", tools: [ADD, ADD] }, "tools[1].name", "invalid_input", /^tools\[1\]\.name is "add" again/],
    [{ input: "x", tools: [ADD], tool_choice: { type: "function", name: "b" } }, "tool_choice.name", "invalid_input", /^tool_choice\.name must be the name of one of the tools/],
    [{ input: "x", tools: [ADD], tool_choice: { type: "file_search" } }, "tool_choice", "unsupported", /is of the type "file_search"/],
    [{ input: "x", text: { format: { type: "json_schema", name: "a" } } }, "text.format.schema", "invalid_input", /^text\.format\.schema is missing/],
    [{ input: "x", text: { format: { type: "json_schema", name: "a", schema: { type: "x" } } } }, "text.format.schema", "invalid_input", /^text\.format\.schema/],
    [{ input: "x", text: { verbosity: "low" } }, "text.verbosity", "unsupported", /^text\.verbosity must be "medium"/],
    [{ input: "x", metadata: { a: "x".repeat(513) } }, "metadata.a", "invalid_input", /^metadata\.a must be at most 512 characters; got 513\.$/],
    [{ input: "x", metadata: { ["k".repeat(65)]: "x" } }, "metadata", "invalid_input", /^metadata must be an object of at most 16 strings/],
    [{ input: "x", metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [i, "x"])) }, "metadata", "invalid_input", /^metadata must be an object of at most 16 strings/],
    [{ input: "x", temperature: 3 }, "temperature", "invalid_input", /from 0 to 2/],
    [{ input: "x", max_output_tokens: 0 }, "max_output_tokens", "invalid_input", /at least 1/],
  ]; // prettier-ignore

test("what is wrong, or would change the answer and cannot be honoured, is refused by its name", async () => {
  for (const [body, param, code, sentence] of REFUSED) {
    const error = envelopeOf(await asked("POST", "/v1/responses", body), code === "not_found" ? 404 : 400);
    assert.deepEqual([error.param, error.code], [param, code], error.message);
    assert.match(error.message, sentence);
  }
});

test("what is not known is ignored, and named", async () => {
  const body = {
    input: "x",
    seed: 5,
    reasoning: { effort: "low", summary: null },
    service_tier: "auto",
    max_tool_calls: null,
  };
  const { headers } = await asked("POST", "/v1/responses", body);
  assert.equal(headers.get("x-ignored-fields"), "seed, reasoning.effort");
});
