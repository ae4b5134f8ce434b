/** `/v1/batches` over a real server: what becomes of the lines of a file, and what clients see of that. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type BatchFileView } from "../src/http/schemas/batch-files.ts";
import {
  batchCall,
  batchNow,
  cancelBatch,
  CHAT,
  chatLine,
  endedBatch,
  linesText,
  makeBatch,
  post,
  refusedBatch,
  resultsOf,
} from "./helpers/batch-files.ts";
import { call, refusalOf, startFileServer, upload } from "./helpers/files.ts";

const server = await startFileServer({ after });
server.key = "altlas_root";
await server.loaded();

/** A batch's UUID. */
function uuidOf({ id }: BatchFileView): string {
  return id.replace(/^batch_(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Waits until the lines of a batch have been checked. */
async function begun(batch: BatchFileView): Promise<void> {
  await server.logged(({ msg, ...line }) => msg === "batch of a file began" && line["batch"] === uuidOf(batch));
}

test("each line becomes a task; results and errors come as files, in the order of the lines", async () => {
  const lines = [
    chatLine("first"),
    chatLine("wrong model", { model: "no such model" }),
    chatLine("wrong field", { temperature: 9 }),
    "",
    chatLine("last", { priority: "high" }),
  ];
  const made = await makeBatch(server, "ada", lines, { metadata: { run: "7" } });
  assert.match(made.id, /^batch_[0-9a-f]{32}$/);
  assert.deepEqual([made.object, made.endpoint, made.metadata], ["batch", CHAT, { run: "7" }]);
  assert.equal(made.expires_at - made.created_at, 86_400);
  const batch = await endedBatch(server, "ada", made.id);
  assert.deepEqual(
    [batch.status, batch.request_counts, batch.errors],
    ["completed", { total: 4, completed: 2, failed: 2 }, null],
  );
  assert.ok(batch.completed_at! >= batch.in_progress_at!);
  const output = await resultsOf(server, "ada", batch.output_file_id);
  assert.deepEqual(
    output.map(({ custom_id, response, error }) => [custom_id, response!.status_code, error]),
    [
      ["first", 200, null],
      ["last", 200, null],
    ],
  );
  assert.equal(output[0]!.response!.body.object, "chat.completion");
  assert.ok(output[0]!.response!.body.choices![0]!.message!.content.length > 0);
  const errors = await resultsOf(server, "ada", batch.error_file_id);
  assert.deepEqual(
    errors.map(({ custom_id, response }) => [custom_id, response!.status_code, response!.body.error!.code]),
    [
      ["wrong model", 404, "model_not_found"],
      ["wrong field", 400, "invalid_input"],
    ],
  );
  assert.match(errors[1]!.response!.body.error!.message, /^temperature must be /);
});

test("one Idempotency-Key makes one batch, however often it is sent and whatever has become of its file", async () => {
  const { id: input_file_id } = await upload(server, "ada", { content: linesText([chatLine("once")]) });
  const body = { input_file_id, endpoint: CHAT, completion_window: "24h", metadata: { run: "once" } };
  const ask = async (fields: object = {}, key: string | null = "nightly"): Promise<Response> => {
    const { headers, ...init } = post({ ...body, ...fields });
    const named = key === null ? headers : { ...headers, "idempotency-key": key };
    return batchCall(server, "ada", "", { ...init, headers: named as Record<string, string> });
  };
  const answers = await Promise.all([ask(), ask(), ask()]);
  const made = await Promise.all(answers.map(async (answer) => (await answer.json()) as BatchFileView));
  assert.equal(new Set(made.map(({ id }) => id)).size, 1, JSON.stringify(made));
  const replayed = answers.map(({ headers }) => headers.get("idempotent-replayed"));
  assert.deepEqual(replayed.toSorted(), [null, "true", "true"]);
  const ended = await endedBatch(server, "ada", made[0]!.id);
  const later = await ask();
  assert.equal(later.headers.get("idempotent-replayed"), "true");
  assert.deepEqual(await later.json(), ended);
  // With another body, another key, and without one.
  const refused = await refusalOf(await ask({ completion_window: "1h" }));
  assert.deepEqual([refused.status, refused.code], [409, "conflict"]);
  const other = (await (await ask({}, "weekly")).json()) as BatchFileView;
  const without = (await (await ask({}, null)).json()) as BatchFileView;
  assert.equal(new Set([ended.id, other.id, without.id]).size, 3);
  const unfit = await refusalOf(await ask({}, "n\u00e4chtlich"));
  assert.deepEqual([unfit.status, unfit.code], [400, "invalid_input"]);
  for (const { id } of [other, without]) await endedBatch(server, "ada", id);
  // The file may go when no batch needs it.
  assert.equal((await call(server, "ada", `/${input_file_id}`, { method: "DELETE" })).status, 200);
  assert.deepEqual(await (await ask()).json(), ended);
  assert.equal((await ask({}, "another")).status, 404);
});

test("the batch is one of the task API, too: its tasks, its counts and its results", async () => {
  const made = await makeBatch(server, "ada", [chatLine("a"), chatLine("b", { stream: true }), chatLine("c")]);
  await endedBatch(server, "ada", made.id);
  const id = uuidOf(made);
  const headers = { authorization: "Bearer altlas_ada" };
  const { body } = await server.request<{ status: string; size: number; counts: object }>(
    "GET",
    `/api/v1/batch/${id}`,
    { headers },
  );
  const counts = { queued: 0, running: 0, completed: 2, failed: 1, canceled: 0 };
  assert.deepEqual([body.status, body.size, body.counts], ["completed", 3, counts]);
  const results = await fetch(`${server.url}/api/v1/batch/${id}/results`, { headers });
  const indices = (await results.text())
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { index: number }).index);
  assert.deepEqual(indices, [0, 2]);
  const { tasks } = await server.tasks(`?batch_id=${id}`, headers);
  assert.deepEqual(
    Object.values(tasks).map(({ priority }) => priority),
    ["low", "low"],
  );
});

/** A batch of one line, once it has ended. */
async function endedLine(endpoint: string, body: object): Promise<BatchFileView> {
  const line = { custom_id: "one", method: "POST", url: endpoint, body };
  const { id } = await makeBatch(server, "ada", [line], { endpoint });
  return endedBatch(server, "ada", id);
}

test("the priority of a batch is that of lines without one; what came of it stays when its tasks go", async () => {
  const lines = [chatLine("a"), chatLine("b", { priority: "low" })];
  const made = await makeBatch(server, "ada", lines, { priority: "high" });
  const batch = await endedBatch(server, "ada", made.id);
  const headers = { authorization: "Bearer altlas_ada" };
  const { tasks } = await server.tasks(`?batch_id=${uuidOf(made)}`, headers);
  assert.deepEqual(
    Object.values(tasks).map(({ priority }) => priority),
    ["low", "high"],
  );
  const [last] = Object.keys(tasks);
  assert.equal((await server.request("DELETE", `/api/v1/task/${last}`, { headers })).status, 200);
  assert.deepEqual(await batchNow(server, "ada", made.id), batch);
  assert.equal((await resultsOf(server, "ada", batch.output_file_id)).length, 1);
});

test("other endpoints: completions, embeddings and responses", async () => {
  const completion = await endedLine("/v1/completions", { prompt: "once", max_tokens: 2 });
  const [completed] = await resultsOf(server, "ada", completion.output_file_id);
  assert.equal(completed!.response!.body.object, "text_completion");
  const response = await endedLine("/v1/responses", { input: "hello", max_output_tokens: 2, store: false });
  const [responded] = await resultsOf(server, "ada", response.output_file_id);
  assert.equal(responded!.response!.body.object, "response");
  const embedding = await endedLine("/v1/embeddings", { input: ["a", "b"] });
  const [vectors] = await resultsOf(server, "ada", embedding.output_file_id);
  assert.equal(vectors!.response!.body.data!.length, 2);
  const several = await endedLine("/v1/completions", { prompt: ["a", "b"] });
  const [prompts] = await resultsOf(server, "ada", several.error_file_id);
  assert.match(prompts!.response!.body.error!.message, /^prompt must be one text in a line of a batch; got 2\.$/);
});

test("a file that is no batch fails as a whole, with the numbers of its lines", async () => {
  const lines = [
    chatLine("a"),
    "no JSON",
    chatLine("a"),
    { method: "POST", url: CHAT, body: {} },
    { ...chatLine("b"), url: "/v1/embeddings" },
    { ...chatLine("c"), method: "GET" },
    "[]",
    chatLine(7),
    { ...chatLine("d"), body: "text" },
  ];
  const made = await makeBatch(server, "ada", lines);
  const batch = await endedBatch(server, "ada", made.id);
  assert.deepEqual([batch.status, batch.request_counts.total, batch.output_file_id], ["failed", 0, null]);
  assert.deepEqual(
    batch.errors!.data.map(({ line, code, param }) => [line, code, param]),
    [
      [2, "invalid_json_line", null],
      [3, "duplicate_custom_id", "custom_id"],
      [4, "missing_required_parameter", "custom_id"],
      [5, "invalid_url", "url"],
      [6, "invalid_method", "method"],
      [7, "invalid_json_line", null],
      [8, "invalid_request", "custom_id"],
      [9, "invalid_request", "body"],
    ],
  );
  const empty = await makeBatch(server, "ada", ["", "  "]);
  const { errors } = await endedBatch(server, "ada", empty.id);
  assert.deepEqual([errors!.data[0]!.code, errors!.data[0]!.line], ["empty_file", null]);
});

test("what no batch can be made of is refused at once", async () => {
  const { id } = await upload(server, "ada", { content: "{}" });
  const asked = { input_file_id: id, endpoint: CHAT, completion_window: "24h" };
  for (const [fields, code, param] of [
    [{ input_file_id: `file-${"0".repeat(32)}` }, "not_found", "input_file_id"],
    [{ input_file_id: "nothing" }, "not_found", "input_file_id"],
    [{ endpoint: "/v1/images" }, "invalid_input", "endpoint"],
    [{ completion_window: "24 hours" }, "invalid_input", "completion_window"],
    [{ completion_window: "15d" }, "invalid_input", "completion_window"],
    [{ metadata: { a: 1 } }, "invalid_input", "metadata.a"],
  ] as const) {
    const refusal = await refusedBatch(server, "ada", { ...asked, ...fields });
    assert.deepEqual([refusal.code, refusal.param], [code, param], JSON.stringify(fields));
  }
  const inSeconds = await refusedBatch(server, "ada", { ...asked, completion_window: "2s" });
  assert.match(inSeconds.message, /^completion_window must be a number of minutes, hours or days like .*; got "2s"\.$/);
  assert.equal((await refusedBatch(server, "bob", asked)).code, "not_found");
  assert.equal((await refusedBatch(server, "eve", asked)).code, "forbidden");
  const other = await upload(server, "ada", { content: "{}", after: { purpose: "user_data" } });
  assert.match((await refusedBatch(server, "ada", { ...asked, input_file_id: other.id })).message, /purpose "batch"/);
});

test("batches are listed newest first, each user's own; a stranger's looks like none", async () => {
  const ids: string[] = [];
  for (let index = 0; index < 3; index++) ids.unshift((await makeBatch(server, "bob", [chatLine(`b${index}`)])).id);
  const listed = async (query: string): Promise<{ ids: string[]; more: boolean }> => {
    const response = await batchCall(server, "bob", query);
    const list = (await response.json()) as { data: BatchFileView[]; has_more: boolean };
    return { ids: list.data.map(({ id }) => id), more: list.has_more };
  };
  assert.deepEqual(await listed(""), { ids, more: false });
  assert.deepEqual(await listed("?limit=2"), { ids: ids.slice(0, 2), more: true });
  assert.deepEqual(await listed(`?limit=2&after=${ids[1]}`), { ids: ids.slice(2), more: false });
  const stranger = await refusalOf(await batchCall(server, "ada", `/${ids[0]}`));
  assert.deepEqual([stranger.status, stranger.code], [404, "not_found"]);
  assert.equal((await batchNow(server, "root", ids[0]!)).id, ids[0]);
});

test("an input file in use stays until its batch has ended; outputs are files like others, and can be removed", async () => {
  const made = await makeBatch(server, "ada", [chatLine("slow", { max_tokens: 4000 }), chatLine("quick")]);
  const { input_file_id: input } = made;
  const refused = await refusalOf(await call(server, "ada", `/${input}`, { method: "DELETE" }));
  assert.deepEqual([refused.status, refused.code], [409, "conflict"]);
  await begun(made);
  await cancelBatch(server, "ada", made.id);
  const batch = await endedBatch(server, "ada", made.id);
  assert.equal((await call(server, "ada", `/${input}`, { method: "DELETE" })).status, 200);
  const file = batch.error_file_id!;
  const shown = (await (await call(server, "ada", `/${file}`)).json()) as { purpose: string; filename: string };
  assert.deepEqual(shown.purpose, "batch_output");
  const list = (await (await call(server, "ada", "?purpose=batch_output")).json()) as { data: { id: string }[] };
  assert.ok(list.data.some(({ id }) => id === file));
  assert.equal((await call(server, "ada", `/${file}`, { method: "DELETE" })).status, 200);
  assert.equal((await call(server, "ada", `/${file}`)).status, 404);
  assert.equal((await batchNow(server, "ada", made.id)).error_file_id, null);
});

test("a canceled batch keeps what was completed, and tells what was not", async () => {
  const lines = Array.from({ length: 1500 }, (_, index) =>
    chatLine(`c${index}`, { max_tokens: index === 0 ? 1 : 4000 }),
  );
  const made = await makeBatch(server, "ada", lines);
  await begun(made);
  const headers = { authorization: "Bearer altlas_ada" };
  const results = await fetch(`${server.url}/api/v1/batch/${uuidOf(made)}/results`, { headers });
  const first = await results.body!.getReader().read();
  assert.equal((JSON.parse(Buffer.from(first.value!).toString()) as { index: number }).index, 0);
  await server.request("POST", `/api/v1/batch/${uuidOf(made)}/cancel`, { headers });
  const batch = await endedBatch(server, "ada", made.id);
  assert.equal(batch.status, "cancelled");
  assert.ok(batch.cancelled_at! >= batch.cancelling_at!);
  const errors = await resultsOf(server, "ada", batch.error_file_id);
  const output = await resultsOf(server, "ada", batch.output_file_id);
  assert.deepEqual(
    [output.length, errors.length, batch.request_counts],
    [1, 1499, { total: 1500, completed: 1, failed: 0 }],
  );
  assert.deepEqual([...new Set(errors.map(({ error }) => error!.code))], ["batch_cancelled"]);
  const again = await refusalOf(await batchCall(server, "ada", `/${made.id}/cancel`, post({})));
  assert.deepEqual([again.status, again.code], [409, "conflict"]);
});

test("a user has 64 batches that have not ended and no more, also of those that are asked for at once", async () => {
  const content = linesText(Array.from({ length: 20 }, (_, index) => chatLine(`line ${index}`, { max_tokens: 4000 })));
  const { id } = await upload(server, "ada", { content });
  const body = post({ input_file_id: id, endpoint: CHAT, completion_window: "24h" });
  const answers = await Promise.all(Array.from({ length: 100 }, () => batchCall(server, "ada", "", body)));
  const made: string[] = [];
  for (const answer of answers) {
    if (answer.status === 200) made.push(((await answer.json()) as BatchFileView).id);
    else assert.equal(answer.status, 429);
  }
  assert.ok(made.length <= 64, `${made.length} were made`);
  for (const batch of made) await batchCall(server, "ada", `/${batch}/cancel`, { method: "POST" });
});
