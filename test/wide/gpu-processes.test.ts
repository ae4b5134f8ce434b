/** What a GPU makes of worker processes that die, stand still, or compute nonsense. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { forkChannel } from "../../src/gpu/worker/fork-channel.ts";
import { aDevice, aGpu } from "../helpers/devices.ts";
import { aDeafWorkerIsReplaced, aTask, ENDLESS, GpuOwner } from "../helpers/gpu-owner.ts";
import { temporaryFolder } from "../helpers/http.ts";
import { writeOneTokenModel } from "../helpers/tiny-models.ts";

test("a GPU that computes nonsense is faulted until it has shown that it works, and its tasks are told why", async (t) => {
  const model = join(temporaryFolder(t), "model.gguf");
  writeOneTokenModel(model, "A", "Z");
  const owner = new GpuOwner(t, { device: aDevice({ kind: "cpu" }), model, openChannel: forkChannel });
  await owner.ready();
  owner.run(aTask("good"));
  owner.run(aTask("Z"));
  await owner.until(() => owner.losses.length === 1);
  assert.deepEqual(owner.losses, ["nonsense"]);
  assert.match(owner.lossSentences[0]!, /computed nonsense/);
  await owner.is("ready");
  assert.deepEqual(owner.states, ["starting", "ready", "faulted", "ready"]);
});

test("a worker that is killed is replaced, and what ran there is told to be lost", async (t) => {
  const owner = new GpuOwner(t, { engine: ENDLESS, openChannel: forkChannel });
  await owner.ready();
  const { pid } = owner;
  owner.run(aTask("wait", 1e6));
  process.kill(pid!, "SIGKILL");
  await owner.until(() => owner.losses.length === 1);
  assert.match(owner.reason, /^The worker died \(SIGKILL\) and is being restarted\./);
  assert.deepEqual(owner.lossSentences, [owner.reason]);
  await owner.is("ready");
  assert.notEqual(owner.pid, pid);
  assert.deepEqual(owner.losses, ["worker_crash"]);
  assert.deepEqual(owner.states, ["starting", "ready", "starting", "ready"]);
  const next = aTask("again", 1);
  owner.run(next);
  assert.equal((await owner.outcome(next)).status, "completed");
});

test("a worker that dies of a CUDA error while loading says that the driver may be too old", async (t) => {
  // As ggml_abort() does it.
  const words = "/home/runner/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:110: CUDA error";
  const crash = `setTimeout(() => { console.error("${words}"); process.kill(process.pid, "SIGABRT"); }, 300);`;
  const environment = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(crash)}` };
  const owner = new GpuOwner(t, {
    device: aGpu({ environment }),
    engine: { load_seconds: 1e6 },
    openChannel: forkChannel,
  });
  owner.gpu.start(null);
  await owner.is("unfit");
  assert.equal(
    owner.reason,
    "The worker died 2 times while loading the model (SIGABRT); the driver may be too old for llama.cpp's CUDA package on this GPU: " +
      "stop the server and run npm run add-gpu cuda, which mends it or says what does. It last said: ggml-cuda.cu:110: CUDA error",
  );
});

test("a worker that is stopped (SIGSTOP) is replaced: the canceled task ends with its text, the others are given back", (t) =>
  aDeafWorkerIsReplaced(t, "is stopped (SIGSTOP)"));
