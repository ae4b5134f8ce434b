/** What the dashboard's page of tasks computes: filters, phases, texts that grow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  addressOf,
  cancellationOf,
  filtersOf,
  idIn,
  narrowedBy,
  NO_FILTERS,
  queryOf,
} from "../src/dashboard/files/tasks/filters.js";
import { demandsOf, textOf } from "../src/dashboard/files/tasks/asked.js";
import { SAMPLING } from "../src/dashboard/files/tasks/sampling.js";
import { samplingView } from "../src/http/schemas/sampling.ts";
import { grown } from "../src/dashboard/files/parts/blocks.js";
import { phasesOf, speedOf } from "../src/dashboard/files/tasks/phases.js";

const filtersIn = (query: string) => filtersOf(new URLSearchParams(query));

test("the page of a task shows all fields of sampling that the API shows", () => {
  assert.deepEqual([...SAMPLING].toSorted(), Object.keys(samplingView).toSorted());
});

test("a request is shown with its calls, its form and its tools", () => {
  const call = { id: "c1", type: "function" as const, function: { name: "clock", arguments: "{}" } };
  const messages = [
    { role: "user" as const, content: "What time is it?" },
    { role: "assistant" as const, content: "", tool_calls: [call] },
    { role: "tool" as const, content: "noon", tool_call_id: "c1" },
  ];
  const text = textOf({ messages })!;
  assert.equal(text, `user:\nWhat time is it?\n\nassistant:\n${JSON.stringify([call], null, 2)}\n\ntool:\nnoon`);
  const response_format = { type: "json_object" };
  const tools = [{ type: "function", function: { name: "clock" } }];
  assert.deepEqual(demandsOf({ messages }), []);
  assert.deepEqual(demandsOf({ messages, response_format, tools }), [
    ["response_format", JSON.stringify(response_format, null, 2)],
    ["tools", JSON.stringify(tools, null, 2)],
  ]);
});

test("filters of the address are those of the list, and what is unknown there does nothing", () => {
  const filters = filtersIn("status=failed&user=ay%C5%9Fe&gpu_id=3&utm=x&after=MQ");
  assert.deepEqual(filters, { ...NO_FILTERS, status: "failed", user: "ayşe", gpu_id: "3", after: "MQ" });
  assert.equal(queryOf(filters, 50), "status=failed&user=ay%C5%9Fe&gpu_id=3&after=MQ&limit=50");
  assert.deepEqual(narrowedBy(filters), ["user", "gpu_id"]);
});

test("another filter begins at the first page", () => {
  const filters = filtersIn("status=queued&after=MQ");
  assert.equal(addressOf(filters, { user: "bob" }), "status=queued&user=bob");
  assert.equal(addressOf(filters, { after: "Mg" }), "status=queued&after=Mg");
  assert.equal(addressOf(filters, { status: "" }), "");
});

test("local times go to the server with their zone, and what is no time goes as it is", () => {
  const query = new URLSearchParams(queryOf(filtersIn("since=2026-11-28T17:00&until=yesterday"), 1));
  assert.equal(query.get("since"), new Date("2026-11-28T17:00").toISOString());
  assert.equal(query.get("until"), "yesterday");
});

test("canceling what is listed names the same tasks, whatever the page", () => {
  assert.deepEqual(cancellationOf(filtersIn("status=queued&gpu_id=2&user=bob&after=MQ")), {
    status: "queued",
    user: "bob",
    gpu_id: 2,
  });
});

test("an id is found in whatever form it was copied", () => {
  const id = "01a22330-4088-769d-9ec1-fce78527e2e1";
  for (const form of [id, ` ${id.toUpperCase()}\n`, id.replaceAll("-", ""), `chatcmpl-${id.replaceAll("-", "")}`]) {
    assert.equal(idIn(form), id, form);
  }
  for (const form of ["bob", "", "01a22330", `${id}0`]) assert.equal(idIn(form), null, form);
});

const AT = (seconds: number) => new Date(Date.UTC(2026, 10, 28, 17) + seconds * 1000).toISOString();

const WAITING = {
  created_at: AT(0),
  started_at: null,
  finished_at: null,
  timing: { queued: 0, prompt: null, first_token: null, generation: null },
};
const RESULT = {
  text: "",
  execution_time: 3,
  timestamp: AT(4),
  finish_reason: "stop" as const,
  usage: { prompt_tokens: 4, completion_tokens: 11, cached_tokens: 0 },
};
const named = (phases: readonly { name: string; seconds: number }[]) =>
  phases.map(({ name, seconds }) => [name, seconds]);

test("the phases of an ended task are those that the server measured", () => {
  const timing = { queued: 2, prompt: 1, first_token: 3, generation: 5 };
  const task = { ...WAITING, started_at: AT(2), finished_at: AT(8), timing };
  assert.deepEqual(phasesOf(task, Date.parse(AT(100))), [
    { name: "queued", seconds: 2, share: 0.25 },
    { name: "prompt", seconds: 1, share: 0.125 },
    { name: "generation", seconds: 5, share: 0.625 },
  ]);
});

test("the last phase of a task that goes on reaches to now, and none is negative when clocks differ", () => {
  assert.deepEqual(named(phasesOf(WAITING, Date.parse(AT(4)))), [["queued", 4]]);
  assert.deepEqual(phasesOf(WAITING, Date.parse(AT(-9))), []);
  const reads = { ...WAITING, started_at: AT(1), timing: { ...WAITING.timing, queued: 1 } };
  assert.deepEqual(named(phasesOf(reads, Date.parse(AT(4)))), [
    ["queued", 1],
    ["prompt", 3],
  ]);
  const writes = { ...reads, timing: { queued: 1, prompt: 2, first_token: 3, generation: 0.5 } };
  assert.deepEqual(named(phasesOf(writes, Date.parse(AT(9)))), [
    ["queued", 1],
    ["prompt", 2],
    ["generation", 6],
  ]);
});

test("a task that failed before its first output was at its prompt; of one of an earlier version only the run is known", () => {
  const ended = { ...WAITING, started_at: AT(1), finished_at: AT(4), timing: { ...WAITING.timing, queued: 1 } };
  assert.deepEqual(named(phasesOf(ended, 0)), [
    ["queued", 1],
    ["prompt", 3],
  ]);
  assert.deepEqual(named(phasesOf({ ...ended, result: RESULT }, 0)), [
    ["queued", 1],
    ["generation", 3],
  ]);
});

test("the speed counts steps between tokens", () => {
  const timing = { queued: 0, prompt: 1, first_token: 1, generation: 2 };
  assert.equal(speedOf({ timing, result: RESULT }), 5);
  assert.equal(speedOf({ timing: WAITING.timing, result: RESULT }), 11 / 3);
  assert.equal(speedOf({ timing: WAITING.timing }), null);
  const usage = { ...RESULT.usage, gpu_seconds: 1, energy_joules: null };
  assert.equal(speedOf({ timing, usage }), 5);
});

test("however a text comes, its blocks are the text, and only the last one changes", () => {
  const piece = fc.oneof(fc.string({ maxLength: 3000 }), fc.constant("line\n"), fc.constant("word ".repeat(900)));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      let blocks: string[] = [];
      let text = "";
      for (const more of pieces) {
        const before = blocks;
        blocks = grown(before, more);
        text += more;
        assert.deepEqual(blocks.slice(0, before.length - 1), before.slice(0, -1));
      }
      assert.equal(blocks.join("").replaceAll(/\n/g, ""), text.replaceAll("\n", ""));
      assert.ok(blocks.every((block) => block.length <= 20_000));
    }),
    { numRuns: 60 },
  );
});

test("a block ends at a line break, which is no part of it, and never within a character", () => {
  assert.deepEqual(grown(["a"], `${"b".repeat(2000)}\nc`), [`a${"b".repeat(2000)}`, "c"]);
  const [first, second] = grown([], `a${"😀".repeat(10_001)}`);
  assert.equal(first, `a${"😀".repeat(9999)}`);
  assert.equal(second, "😀😀");
  const words = grown([], `${"a".repeat(19_999)} ${"b".repeat(20_000)} c`);
  assert.deepEqual(
    words.map(({ length }) => length),
    [20_000, 20_000, 2],
    "a space belongs to its block, which is no longer for it",
  );
});
