/** A server that does not care for schemas, behind a whole ALT_LAS in this process: what clients hear of its answers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { accounts } from "./helpers/accounts.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { type Fault, StandIn } from "./helpers/upstream.ts";

/** An answer that the server gives at once, whatever it is asked for. */
function saying(content: string, finish_reason = "stop"): Fault {
  const choices = [{ index: 0, delta: { role: "assistant", content }, finish_reason }];
  const chunk = JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", choices });
  return { kind: "say", after: 0, data: `${chunk}\n\ndata: [DONE]` };
}

const faults = {
  right: saying('{"ageInYears": 5}'),
  wrong: saying('{"ageInYears": "five"}'),
  prose: saying("Five."),
  cut: saying('{"ageInYears": ', "length"),
};
const standIn = await StandIn.open({ vendor: "vllm", faults });
after(() => standIn.close());
const device = `{ name: far, engine: { kind: openai, url: '${standIn.url}' } }`;
const config = `gpu: { devices: [${device}] }\n${accounts({ root: "admin", bob: "user" })}`;
const server = await startLocalServer({ after }, { config });
server.key = "root";
await server.loaded();

const SCHEMA = { type: "object", properties: { ageInYears: { type: "integer" } }, required: ["ageInYears"] };

function asking(what: keyof typeof faults, strict: boolean) {
  const messages = [{ role: "user", content: what }];
  return { messages, response_format: { type: "json_schema", json_schema: { schema: SCHEMA, strict } } };
}

test("an answer that matches is an answer, and one that was cut off is not looked at", async () => {
  for (const what of ["right", "cut"] as const)
    for (const strict of [true, false]) {
      const { status, result } = await server.run(asking(what, strict));
      assert.deepEqual([status, result?.mismatch], ["completed", undefined]);
    }
});

test("an answer that does not match is one all the same, with what does not match", async () => {
  const { status, result } = await server.run(asking("wrong", false));
  assert.deepEqual([status, result?.text], ["completed", '{"ageInYears": "five"}']);
  assert.match(result!.mismatch!, /^The answer does not match its schema: .*ageInYears must be integer\.$/);
  assert.equal((await server.run(asking("prose", false))).result?.mismatch, "The answer is no JSON.");
  const object = { messages: [{ role: "user", content: "prose" }], response_format: { type: "json_object" } };
  assert.equal((await server.run(object)).result?.mismatch, "The answer is no JSON.");
});

test("whoever waits for such an answer is warned, in both APIs", async () => {
  const headers = { prefer: "wait=55" };
  const waited = await server.request<TaskView>("POST", "/api/v1/predict", { body: asking("wrong", false), headers });
  assert.equal(waited.headers.get("x-warning"), waited.body.result?.mismatch);
  const chat = await server.request("POST", "/v1/chat/completions", { body: asking("wrong", false) });
  assert.equal(chat.headers.get("x-warning"), waited.body.result?.mismatch);
});

test("under a strict schema such an answer is a failure, which says what to do", async () => {
  const bob = { authorization: "Bearer bob" };
  const { status, error, error_code } = await server.run(asking("wrong", true), bob);
  const sentence =
    "The answer does not match its schema. Without strict the result has the text, and says what does not match.";
  assert.deepEqual([status, error, error_code], ["failed", sentence, "model_error"]);
  const chat = await server.request<{ error: { message: string; code: string } }>("POST", "/v1/chat/completions", {
    body: asking("wrong", true),
    headers: bob,
  });
  assert.deepEqual([chat.status, chat.body.error.message, chat.body.error.code], [500, sentence, "model_error"]);
  // The GPU is not to blame.
  const [gpu] = await server.gpus();
  assert.deepEqual([gpu!.status, gpu!.restarts], ["ready", 0]);
});

test("a retry asks for the same form, and no line of the log has a word of it", async () => {
  const first = await server.run(asking("wrong", false));
  const { body } = await server.request<{ task_id: string }>("POST", `/api/v1/task/${first.task_id}/retry`);
  const again = await server.ended(body.task_id);
  assert.equal(again.result?.mismatch, first.result?.mismatch);
  const requestOf = async (id: string) => (await server.task(`${id}?include=text`)).request;
  assert.deepEqual(await requestOf(again.task_id), await requestOf(first.task_id));
  await server.request("POST", "/api/v1/predict", {
    body: {
      text: "x",
      ...asking("wrong", true),
      tools: [{ function: { name: "ageInYears", parameters: { type: "ageInYears" } } }],
    },
  });
  assert.ok(server.log.length > 0);
  for (const line of server.log) assert.doesNotMatch(JSON.stringify(line), /ageInYears/);
});
