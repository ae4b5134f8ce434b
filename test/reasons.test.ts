/** What clients read of placements stays the same, however it is stored. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOfTask } from "../src/http/views.ts";
import { sentenceOf, type Why, type WhyNot, wordsOf } from "../src/reasons.ts";
import { type Placement } from "../src/task.ts";
import { facts, World } from "./helpers/scheduling.ts";

const WORDS: Readonly<Record<WhyNot, string>> = {
  starting: "starting",
  hot: "hot",
  draining: "draining",
  drained: "drained",
  unfit: "unfit",
  faulted: "faulted",
  lost: "lost",
  cold: "its model is not loaded",
  unloading: "its model leaves",
  busy: "busy",
  reserved: "kept for a task alone",
  leaving: "makes room for another model",
  retired: "its model was taken away",
  memory_taken: "memory taken by others",
  used_by_others: "used by others",
  server_full: "its server is full",
  not_requested: "not asked for",
  not_mapped: "not mapped",
  other_model: "another model",
  lacks_capability: "cannot do it",
  chosen_already: "chosen already",
  context_too_small: "context too small",
  failed_before: "failed there before",
  eligible: "eligible",
};

for (const [code, words] of Object.entries(WORDS)) {
  test(`a GPU that does not take a task for the reason ${code} is counted as "${words}"`, () => {
    assert.equal(wordsOf(code), words);
    assert.equal(wordsOf(words), words, "as an earlier version stored it");
  });
}

const SENTENCES: readonly (readonly [why: Why, sentence: string])[] = [
  [{ code: "lowest_load", load: 1 / 3, equals: 1 }, "GPU 2 has the lowest load, 0.33."],
  [{ code: "lowest_load", load: 0, equals: 3 }, "GPU 2 has the lowest load, 0.00, drawn among 3 equals."],
  [
    { code: "cached_prefix", characters: 12_345, within: 0.1, least: 0.05, equals: 1 },
    "GPU 2 has had the first 12,345 characters of this prompt and a load within 0.1 of the least, 0.05.",
  ],
  [
    { code: "most_memory", bytes: 3 * 2 ** 29, equals: 2 },
    "GPU 2 has the most free memory, 1.50 GiB, drawn among 2 equals.",
  ],
  [{ code: "drawn", among: 4 }, "GPU 2 was drawn among 4."],
  [{ code: "next_turn", after: null }, "GPU 2 is the first turn."],
  [{ code: "next_turn", after: 1 }, "GPU 2 is the next after GPU 1."],
  [{ code: "requested" }, "GPU 2 alone may run this task: the request named it."],
  [{ code: "whole_batch" }, "GPU 2 alone may run this task: its batch was not to be split."],
];

for (const [why, sentence] of SENTENCES) {
  test(`a placement for the reason ${JSON.stringify(why)} is told in a sentence`, () => {
    assert.equal(sentenceOf(why, 2), sentence);
    assert.equal(sentenceOf(JSON.parse(JSON.stringify(why)) as Why, 2), sentence, "after it was stored");
  });
}

test("a placement is kept as codes and shown as words, and one that was kept as words is shown as it was", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { crowded: "server_full" }), facts(2), facts(3)]);
  const task = world.submit({ strategy: "round_robin" });
  const kept = JSON.parse(JSON.stringify(task.placement)) as Placement;
  assert.deepEqual([kept.reason, kept.others], [{ code: "next_turn", after: null }, { server_full: 1 }]);
  const shown = viewOfTask(task).placement!;
  assert.deepEqual([shown.reason, shown.others], ["GPU 0 is the first turn.", { "its server is full": 1 }]);
  const old = { ...kept, reason: shown.reason, others: shown.others } as Placement;
  assert.deepEqual(viewOfTask({ ...task, placement: old }).placement, shown);
});
