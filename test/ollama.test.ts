/** The answers of Ollama's API, from a whole server with the simulated engine. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startLocalServer } from "./helpers/local-server.ts";

const server = await startLocalServer(
  { after },
  {
    config: "engine: { simulated: { tokens_per_second: 0 } }\napi: { ollama: true, openai: { default_max_tokens: 6 } }",
    devices: "simulated:1",
  },
);
await server.loaded();

const MESSAGES = [{ role: "user", content: "Hello" }];

type Fields = Readonly<Record<string, unknown>>;

/** As litellm asks: nothing is said of the type of the body. */
async function asked(path: string, body?: object, headers: Record<string, string> = {}) {
  const response = await fetch(server.url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${server.key}`, ...headers },
    ...(body !== undefined && { body: new Blob([JSON.stringify(body)]) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function answered(path: string, body?: object): Promise<Fields> {
  const { status, text } = await asked(path, body);
  assert.equal(status, 200, text);
  return JSON.parse(text) as Fields;
}

async function linesOf(path: string, body: object): Promise<Fields[]> {
  const { status, headers, text } = await asked(path, body);
  assert.equal(status, 200, text);
  assert.equal(headers.get("content-type"), "application/x-ndjson; charset=utf-8");
  assert.ok(text.endsWith("\n"));
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line) as Fields);
}

/** Without what differs from run to run, after a look at it. */
function steady({ created_at, total_duration, load_duration, prompt_eval_duration, eval_duration, ...rest }: Fields) {
  assert.match(String(created_at), /^\d{4}-\d\d-\d\dT.*Z$/);
  if (rest["done"] !== true) return rest;
  for (const figure of [total_duration, load_duration, prompt_eval_duration, eval_duration])
    assert.ok(Number.isSafeInteger(figure) && Number(figure) >= 0, `${String(figure)} nanoseconds`);
  assert.ok(Number(total_duration) >= Number(load_duration));
  return rest;
}

test("a chat is streamed as lines unless its client says otherwise; the last is done and has the figures", async () => {
  const lines = await linesOf("/api/chat", { model: "simulated", messages: MESSAGES, options: { num_predict: 3 } });
  const last = lines.pop()!;
  assert.deepEqual(steady(last), {
    model: "simulated",
    message: { role: "assistant", content: "" },
    done: true,
    done_reason: "length",
    prompt_eval_count: 2,
    eval_count: 3,
  });
  assert.ok(lines.length > 0);
  const content = lines.map((line) => (line["message"] as { content: string }).content).join("");
  assert.equal(content, " an old mill");
  for (const line of lines) {
    const { message, ...rest } = steady(line);
    assert.deepEqual(rest, { model: "simulated", done: false });
    assert.equal((message as { role: string }).role, "assistant");
  }
});

test("a chat that is not streamed is one answer, and its task is one like any other", async () => {
  const { headers, text } = await asked("/api/chat", {
    model: "simulated:latest",
    messages: MESSAGES,
    stream: false,
    options: { num_predict: 3, temperature: 0 },
  });
  assert.deepEqual(steady(JSON.parse(text) as Fields), {
    model: "simulated:latest",
    message: { role: "assistant", content: " an old mill" },
    done: true,
    done_reason: "length",
    prompt_eval_count: 2,
    eval_count: 3,
  });
  const task = await server.task(headers.get("x-task-id")!);
  assert.equal(task.status, "completed");
  assert.equal(headers.get("x-gpu-id"), "0");
});

test("generate answers a prompt, with the operator's number of tokens where its client names none", async () => {
  const answer = steady(await answered("/api/generate", { model: "simulated", prompt: "Hello", stream: false }));
  assert.equal(answer["eval_count"], 6);
  assert.equal(typeof answer["response"], "string");
  const lines = await linesOf("/api/generate", { model: "simulated", prompt: "Hello", system: "Be brief." });
  assert.equal(lines.at(-1)!["done"], true);
  assert.equal(lines.at(-1)!["response"], "");
  assert.ok(lines.slice(0, -1).every((line) => typeof line["response"] === "string" && line["done"] === false));
});

test("a format is kept to", async () => {
  const format = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const options = { num_predict: -1 };
  const body = { model: "simulated", messages: MESSAGES, stream: false, options };
  const { message } = (await answered("/api/chat", { ...body, format })) as { message: { content: string } };
  assert.equal(typeof (JSON.parse(message.content) as Fields)["city"], "string");
  const any = (await answered("/api/chat", { ...body, format: "json" })) as typeof body & {
    message: { content: string };
  };
  assert.equal(typeof JSON.parse(any.message.content), "object");
});

test("calls of tools have arguments that are objects, and come whole", async () => {
  const tool = {
    type: "function",
    function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  };
  const body = { model: "simulated", messages: [{ role: "user", content: "call weather" }], tools: [tool] };
  const { message } = (await answered("/api/chat", { ...body, stream: false, options: { num_predict: -1 } })) as {
    message: { tool_calls?: { id: string; function: { name: string; arguments: object } }[] };
  };
  const lines = await linesOf("/api/chat", { ...body, options: { num_predict: -1 } });
  const streamed = lines.flatMap((line) => (line["message"] as typeof message).tool_calls ?? []);
  for (const calls of [message.tool_calls ?? [], streamed]) {
    assert.ok(calls.length > 0, JSON.stringify({ message, lines }));
    for (const { id, function: called } of calls) {
      assert.equal(typeof id, "string");
      assert.equal(called.name, "weather");
      assert.equal(typeof called.arguments, "object");
    }
  }
});

test("embed makes a vector of each text, and the older call one", async () => {
  const { embeddings, ...rest } = await answered("/api/embed", { model: "simulated", input: ["a text", "another"] });
  const lengths = (embeddings as number[][]).map((vector) => Math.hypot(...vector));
  assert.equal(lengths.length, 2);
  for (const length of lengths) assert.ok(Math.abs(length - 1) < 1e-6);
  assert.equal(rest["model"], "simulated");
  const { embedding } = await answered("/api/embeddings", { model: "simulated", prompt: "a text" });
  assert.deepEqual(embedding, (embeddings as number[][])[0]);
  assert.deepEqual((await answered("/api/embed", { model: "simulated", input: [] }))["embeddings"], []);
});

test("the models are listed with a tag, shown with what they can do, and told while they are loaded", async () => {
  // As ollama's client asks: JSON is announced, and there is none.
  const { status, text } = await asked("/api/tags", undefined, { "content-type": "application/json" });
  assert.equal(status, 200);
  const { models } = JSON.parse(text) as { models: { name: string; model: string; digest: string }[] };
  assert.deepEqual(
    models.map(({ name, model }) => [name, model]),
    [["simulated:latest", "simulated:latest"]],
  );
  assert.match(models[0]!.digest, /^[0-9a-f]{64}$/);
  const running = (await answered("/api/ps")) as { models: { name: string; digest: string; expires_at: string }[] };
  assert.deepEqual(
    running.models.map(({ name, digest }) => [name, digest]),
    [["simulated:latest", models[0]!.digest]],
  );
  assert.ok(Date.parse(running.models[0]!.expires_at) > Date.parse("2299-01-01"));
  for (const body of [{ model: "simulated" }, { name: "simulated:latest" }]) {
    const { capabilities, model_info } = await answered("/api/show", body);
    assert.deepEqual(capabilities, ["completion", "tools", "embedding"]);
    assert.ok(Object.keys(model_info as object).some((key) => key.endsWith(".context_length")));
  }
});

test("the version is one of Ollama's, and whoever does not want a page is told that it runs", async () => {
  assert.match(String((await answered("/api/version"))["version"]), /^\d+\.\d+\.\d+$/);
  const greeted = await fetch(`${server.url}/`, { headers: { accept: "*/*" } });
  assert.equal(await greeted.text(), "Ollama is running");
  assert.equal((await fetch(server.url, { method: "HEAD" })).status, 200);
  const page = await fetch(server.url, { headers: { accept: "text/html,application/xhtml+xml" } });
  assert.match(await page.text(), /<!doctype html>/i);
});

test("a call without a prompt has the model loaded, for an admin who may", async () => {
  assert.deepEqual(steady({ ...(await answered("/api/generate", { model: "simulated" })), ...FIGURES }), {
    model: "simulated",
    response: "",
    done: true,
    done_reason: "load",
  });
  const { status, text } = await asked("/api/chat", { model: "simulated", messages: [], keep_alive: 0 });
  assert.equal(status, 409, "a device's own model stays");
  assert.match(String((JSON.parse(text) as Fields)["error"]), /is the own model of GPU 0/);
});

const FIGURES = { total_duration: 0, load_duration: 0, prompt_eval_duration: 0, eval_duration: 0 };

test("a model that is not there is a 404 with a sentence", async () => {
  for (const [path, body] of [
    ["/api/chat", { messages: MESSAGES }],
    ["/api/generate", { prompt: "x" }],
    ["/api/generate", {}],
    ["/api/embed", { input: "x" }],
    ["/api/show", {}],
  ] as const) {
    const { status, text } = await asked(path, { model: "nobody", ...body });
    assert.equal(status, 404, path);
    assert.match(String((JSON.parse(text) as Fields)["error"]), /nobody/, path);
  }
});
