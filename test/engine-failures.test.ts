/** What engines report, and what clients and the scheduler are told of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EngineFailure, outcomeOfFailure, reportOf } from "../src/engine/failures.ts";
import { ERRORS } from "../src/errors.ts";

for (const code of ["model_error", "prompt_too_long", "invalid_input", "unsupported"] as const) {
  test(`a task whose engine reports ${code} fails with a code of the API`, () => {
    const outcome = outcomeOfFailure(reportOf(new EngineFailure(code, "No.")));
    assert.deepEqual(outcome, { status: "failed", error: { code, sentence: "No." } });
    assert.ok(Object.hasOwn(ERRORS, code));
  });
}

for (const reason of ["out_of_memory", "gpu_lost"] as const) {
  test(`a run whose engine reports ${reason} ends, and its task does not`, () => {
    const outcome = outcomeOfFailure(reportOf(new EngineFailure(reason, "No.")));
    assert.deepEqual(outcome, { status: "interrupted", reason, sentence: "No." });
  });
}

test("a run whose server is full ends with the time it asks for, and no client meets that as an error", () => {
  const outcome = outcomeOfFailure(reportOf(new EngineFailure("gpu_full", "No room.", { retryAfter: 7 })));
  assert.deepEqual(outcome, { status: "interrupted", reason: "gpu_full", sentence: "No room.", retryAfter: 7 });
  assert.ok(!Object.hasOwn(ERRORS, "gpu_full"));
});

test("whatever else is thrown in an engine is a fault of the model", () => {
  assert.deepEqual(outcomeOfFailure(reportOf(new TypeError("x is undefined"))), {
    status: "failed",
    error: { code: "model_error", sentence: "The engine failed: x is undefined" },
  });
});
