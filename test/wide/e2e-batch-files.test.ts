/** A batch of a file whose server is killed again and again, wherever it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type BatchFileView } from "../../src/http/schemas/batch-files.ts";
import { type FileView } from "../../src/http/schemas/files.ts";
import { chatLine, CHAT, linesText, type ResultLine } from "../helpers/batch-files.ts";
import { formOf } from "../helpers/files.ts";
import { Server } from "../helpers/server.ts";

const LINES = 3000;
const ENDED = "batch of a file ended";

/** Resolves when so many more lines have come of a stream, or it has ended. @returns whether it goes on */
async function linesMore(reader: ReadableStreamDefaultReader<Uint8Array>, count: number): Promise<boolean> {
  for (let left = count; left > 0;) {
    const { value, done } = await reader.read();
    if (done) return false;
    left -= Buffer.from(value).toString().split("\n").length - 1;
  }
  return true;
}

/** Whether a line asks for a model that is not there. */
function isWrong(index: number): boolean {
  return index % 10 === 7;
}

function namesOf(indices: readonly number[]): string[] {
  return indices.map((index) => `line ${index}`);
}

test("kill -9 wherever a batch of a file is: each line has one answer in the end, or one failure", async (t) => {
  const config = "{ engine: { simulated: { tokens_per_second: 2000 } }, server: { drain_timeout: 0 } }";
  let server = await Server.start(t, { config, args: ["--devices", "simulated:2"] });
  const headers = { authorization: `Bearer ${server.key}` };
  const lines = Array.from({ length: LINES }, (_, index) =>
    chatLine(`line ${index}`, isWrong(index) ? { model: "none" } : {}),
  );
  const form = formOf({ content: linesText(lines) });
  const uploaded = await fetch(`${server.url}/v1/files`, { method: "POST", headers, body: form });
  const { id: input_file_id } = (await uploaded.json()) as FileView;
  const asked = { input_file_id, endpoint: CHAT, completion_window: "1h" };
  const { body: made } = await server.request<BatchFileView>("POST", "/v1/batches", { body: asked });
  const uuid = made.id.replace(/^batch_(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");

  // Once while the lines are checked, and then each time when some more have ended.
  for (const ends of [0, 1, 300, 700, 400]) {
    if (ends > 0) {
      await server.logged(({ msg }) => msg === "batch of a file began" || msg === "batch of a file goes on");
      const results = await fetch(`${server.url}/api/v1/batch/${uuid}/results`, { headers });
      assert.ok(await linesMore(results.body!.getReader(), ends), "the batch had ended before the server was killed");
    }
    await server.kill9();
    server = await server.restart();
  }
  await server.logged(({ msg }) => msg === ENDED);

  const { body: batch } = await server.request<BatchFileView>("GET", `/v1/batches/${made.id}`);
  const failed = LINES / 10;
  assert.deepEqual(
    [batch.status, batch.request_counts],
    ["completed", { total: LINES, completed: LINES - failed, failed }],
  );
  const read = async (file: string): Promise<ResultLine[]> => {
    const response = await fetch(`${server.url}/v1/files/${file}/content`, { headers });
    const text = await response.text();
    return text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as ResultLine]));
  };
  const output = await read(batch.output_file_id!);
  const errors = await read(batch.error_file_id!);
  const all = [...Array(LINES).keys()];
  assert.deepEqual(
    output.map(({ custom_id }) => custom_id),
    namesOf(all.filter((index) => !isWrong(index))),
  );
  assert.deepEqual(
    errors.map(({ custom_id }) => custom_id),
    namesOf(all.filter(isWrong)),
  );
  assert.equal((await server.tasks(`?batch_id=${uuid}&limit=1`)).total, LINES - failed);
});
