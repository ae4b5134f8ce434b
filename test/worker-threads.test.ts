/** How many threads a worker's process has for llama.cpp's steps and for sampling. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { threadPoolFor } from "../src/gpu/worker/fork-channel.ts";
import { LLAMA, SIMULATED } from "./helpers/engines.ts";

function size(slots: number, cores: number): string | undefined {
  return threadPoolFor({ kind: "llama", backend: "cuda", slots }, cores)["UV_THREADPOOL_SIZE"];
}

it("a worker on a CPU has one thread, one on a GPU one for each slot that has a core, and other engines Node's own", () => {
  assert.deepEqual(threadPoolFor(LLAMA, 16), { UV_THREADPOOL_SIZE: "1" });
  assert.deepEqual([size(1, 16), size(8, 16), size(32, 16), size(32, 2)], ["4", "8", "16", "4"]);
  assert.deepEqual(threadPoolFor(SIMULATED, 16), {});
});
