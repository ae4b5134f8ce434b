/** What `GET /readyz` says, from the states of the server's parts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readinessOf } from "../src/http/readiness.ts";

const LOADING = { ready: false, reason: "GPU 0 is still loading." };
const SHUT = { sentence: "The file of users and keys cannot be read.", isShut: true };
const GONE = { sentence: "The file of users and keys is gone.", isShut: false };
const GOOD = {
  tasks: { canSave: true },
  pool: { readiness: () => ({ ready: true, reason: null }) },
  models: { fetching: null },
  credentials: { trouble: null },
  lost: new AbortController().signal,
};

test("the server is ready when all of its parts are, and the worst reason is told", () => {
  assert.deepEqual(readinessOf(GOOD), { ready: true, reason: null });
  assert.deepEqual(readinessOf({ ...GOOD, credentials: { trouble: GONE } }), { ready: true, reason: GONE.sentence });
  const loading = { ...GOOD, pool: { readiness: () => LOADING }, credentials: { trouble: GONE } };
  assert.deepEqual(readinessOf(loading), LOADING);
  const fetching = { ...loading, models: { fetching: "chat is being fetched." } };
  assert.deepEqual(readinessOf(fetching), { ready: false, reason: "chat is being fetched." });
  const shut = { ...fetching, credentials: { trouble: SHUT } };
  assert.deepEqual(readinessOf(shut), { ready: false, reason: SHUT.sentence });
  const full = { ...shut, tasks: { canSave: false } };
  assert.deepEqual(readinessOf(full), { ready: false, reason: "Tasks cannot be written to disk." });
  const lost = { ...full, lost: AbortSignal.abort(new Error("The disk is gone.")) };
  assert.deepEqual(readinessOf(lost), { ready: false, reason: "The disk is gone." });
});
