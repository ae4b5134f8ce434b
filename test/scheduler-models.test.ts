/** Tasks that name a model, or ask what not every model can do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { type Need, sharedNeeds } from "../src/request.ts";
import { type Task } from "../src/task.ts";
import { facts, type FlatFacts, World } from "./helpers/scheduling.ts";

const CHAT = sharedNeeds(["chat"]);
const VECTORS = sharedNeeds(["embedding"]);
const STOP = sharedNeeds(["completion", "stop"]);

const can = (...needs: Need[]): ReadonlySet<Need> => new Set(needs);
const gpu = (id: number, modelName: string, abilities: ReadonlySet<Need>, changes: Partial<FlatFacts> = {}) =>
  facts(id, { modelName, can: abilities, ...changes });
const loading = (id: number) => facts(id, { state: "starting", modelName: null, can: null, context: null });

/** Two that talk, one with a chat template, and one that only makes vectors. */
const GPUS = [
  gpu(0, "Base", can("completion", "stop")),
  gpu(1, "Chatty", can("completion", "chat", "stop", "top_k")),
  gpu(2, "Vectors", can("embedding")),
];

function refusal(world: World, submit: () => unknown): string {
  const before = world.scheduler.queueSize;
  const refused: unknown[] = [];
  try {
    submit();
  } catch (error) {
    refused.push(error);
  }
  const [error] = refused;
  assert.ok(error instanceof AltLasError, "it is refused");
  assert.equal(world.scheduler.queueSize, before, "nothing of it waits");
  assert.deepEqual(world.started, [], "nothing of it runs");
  return `${error.code}: ${error.message}`;
}

const endOf = ({ status, error }: Task): string => `${status} ${error?.code}: ${error?.sentence}`;

// --- where tasks go ----------------------------------------------------------------------------------------------

test("a task that names a model runs on its GPUs only, and waits for them", () => {
  const world = new World([gpu(0, "A", can("completion"), { slots: 1 }), gpu(1, "B", can("completion"))]);
  const [first, second] = [world.submit({ model: "A" }), world.submit({ model: "A" })];
  assert.deepEqual([first.gpuId, second.status], [0, "queued"]);
  assert.equal(first.ranModel, "A");
  assert.deepEqual(first.placement?.others, { other_model: 1 });
  world.complete(first);
  assert.equal(second.gpuId, 0);
});

test("a task without a model goes to any that can do what it asks", () => {
  const world = new World(GPUS);
  assert.deepEqual([world.submit({ needs: CHAT }).gpuId, world.submit({ needs: VECTORS }).gpuId], [1, 2]);
  const texts = world.submitMany(3);
  assert.deepEqual(new Set(texts.map(({ gpuId }) => gpuId)), new Set([0, 1]));
  assert.deepEqual(texts[0]!.placement?.others, { lacks_capability: 1 });
});

test("waiting tasks that one GPU cannot do keep none from it that it can", () => {
  const world = new World([
    gpu(0, "A", can("completion"), { slots: 1 }),
    gpu(1, "B", can("completion", "chat"), { slots: 1 }),
  ]);
  const [onB, onA] = [world.submit({ needs: CHAT }), world.submit()];
  const chats = world.submitMany(500, { needs: CHAT });
  const text = world.submit();
  world.complete(onA);
  assert.deepEqual([text.gpuId, chats[0]!.status], [0, "queued"]);
  world.complete(onB);
  assert.deepEqual([chats[0]!.gpuId, chats[1]!.status], [1, "queued"]);
});

test("the oldest task comes first, whatever the tasks ask", () => {
  const world = new World([gpu(0, "A", can("completion", "chat", "embedding"), { slots: 1 })]);
  let running = world.submit();
  const waiting = [{ needs: CHAT }, { needs: VECTORS }, {}, { needs: CHAT, model: "A" }, { model: "A" }, {}].map(
    (changes) => world.submit(changes),
  );
  for (const next of waiting) {
    world.complete(running);
    assert.equal(next.status, "running");
    running = next;
  }
});

test("a text too long for all GPUs of its model is refused, and one that fits waits for the one where it does", () => {
  const world = new World([
    gpu(0, "A", can("completion"), { context: 100 }),
    gpu(1, "A", can("completion"), { context: 500, slots: 1 }),
    gpu(2, "B", can("completion"), { context: 9000 }),
  ]);
  assert.match(
    refusal(world, () => world.submit({ model: "A", text: "x".repeat(8000) })),
    /^prompt_too_long: text has at least 800 tokens, which leaves no room for one more in the context of 500 tokens\.$/,
  );
  const long = { model: "A", text: "x".repeat(3000) };
  assert.deepEqual([world.submit(long).gpuId, world.submit(long).status], [1, "queued"]);
});

test("tasks of a type go to the GPUs mapped to it where these can do them, else to any that can", () => {
  const mappings = new Map([["summary", new Set([0])]]);
  const world = new World([...GPUS], { mappings });
  const submit = (changes: Partial<Task>) =>
    world.submit({ strategy: "task_specific", taskType: "summary", ...changes }).gpuId;
  assert.deepEqual([submit({}), submit({ needs: CHAT }), submit({ model: "Chatty" })], [0, 1, 1]);
});

test("a batch that is not split goes to a GPU that can do all of it", () => {
  const world = new World(GPUS);
  const tasks = [
    world.task({ batchId: "b", wholeBatch: true }),
    world.task({ batchId: "b", wholeBatch: true, needs: CHAT }),
  ];
  world.scheduler.submit(tasks, "whole");
  assert.deepEqual(
    tasks.map(({ gpuId }) => gpuId),
    [1, 1],
  );
});

test("a batch that is split is spread over the GPUs that can do each of its tasks", () => {
  const world = new World(GPUS);
  const asked: Partial<Task>[] = [{}, { needs: CHAT }, { needs: VECTORS }, { model: "Base" }];
  const tasks = asked.map((changes) => world.task({ batchId: "b", ...changes }));
  world.scheduler.submit(tasks, "split");
  assert.deepEqual(
    tasks.slice(1).map(({ gpuId }) => gpuId),
    [1, 2, 0],
  );
});

// --- while GPUs load ---------------------------------------------------------------------------------------------

test("a task waits for a GPU that is loading and may turn out to do it", () => {
  const world = new World([GPUS[0]!, loading(1)]);
  const task = world.submit({ needs: CHAT });
  assert.equal(task.status, "queued");
  world.tell(GPUS[1]!);
  assert.equal(task.gpuId, 1);
});

test("a task ends when the last GPU that might have done it has loaded a model that cannot", () => {
  const world = new World([GPUS[0]!, loading(1)]);
  const tasks = [world.submit({ needs: CHAT }), world.submit({ needs: CHAT, pinnedGpuId: 1 })];
  world.tell(gpu(1, "Other", can("completion")));
  assert.equal(
    endOf(tasks[0]!),
    "failed unsupported: No GPU is left for this task: messages cannot be answered by any model here; a model with a chat template could.",
  );
  assert.match(endOf(tasks[1]!), /messages cannot be answered by GPU 1; a model with a chat template could\.$/);
  assert.deepEqual([world.scheduler.queueSize, world.changed.length], [0, 2]);
});

test("a task ends when the last GPU that might have done it cannot load its model for good", () => {
  const world = new World([GPUS[0]!, loading(1)]);
  const task = world.submit({ needs: CHAT });
  world.tell({ ...loading(1), state: "faulted" });
  assert.equal(task.status, "queued", "it is tried again");
  world.tell({ ...loading(1), state: "unfit" });
  assert.match(endOf(task), /^failed unsupported/);
});

test("a task waits for the GPU of its model while that is out of service", () => {
  const world = new World([GPUS[0]!, { ...GPUS[1]!, state: "faulted" }]);
  const task = world.submit({ model: "Chatty" });
  world.tell({ ...GPUS[1]!, state: "unfit" });
  assert.equal(task.status, "queued", "an operator may mend it");
  world.tell(GPUS[1]!);
  assert.equal(task.gpuId, 1);
});

test("a task that came while the GPUs were starting ends when none of those that it may go to comes up, as one that comes later is refused", () => {
  const world = new World([loading(0), loading(1)]);
  const [any, pinned, chat] = [world.submit(), world.submit({ pinnedGpuId: 0 }), world.submit({ needs: CHAT })];
  world.tell({ ...loading(0), state: "unfit", reason: "No such file." });
  assert.equal(endOf(pinned), "failed no_usable_gpu: GPU 0 cannot run tasks. GPU 0: No such file.");
  assert.deepEqual([any.status, chat.status], ["queued", "queued"], "the other one is still starting");
  world.tell({ ...loading(1), state: "faulted", reason: "It hung." });
  assert.deepEqual([any.status, chat.status], ["queued", "queued"], "it is tried again");
  world.tell({ ...loading(1), state: "unfit", reason: "The driver is too old." });
  const none = "No GPU can run tasks. GPU 0: No such file. GPU 1: The driver is too old.";
  for (const task of [any, chat]) assert.equal(endOf(task), `failed no_usable_gpu: ${none}`);
  assert.throws(() => world.submit(), { code: "no_usable_gpu", message: none });
  assert.equal(world.scheduler.queueSize, 0);
});

test("a task of an earlier run, or one that came when a GPU could do it, waits for what an operator may mend", () => {
  const restored = { ...new World([loading(0)]).submit(), seq: 0 };
  const world = new World([loading(0)]);
  world.scheduler.restore([restored]);
  const fresh = world.submit();
  world.tell({ ...loading(0), state: "unfit", reason: "No such file." });
  assert.deepEqual([restored.status, fresh.status], ["queued", "failed"]);
  const one = gpu(0, "Base", can("completion"), { slots: 1 });
  world.tell(one);
  assert.equal(restored.gpuId, 0);
  const behind = world.submit();
  world.tell({ ...one, state: "unfit", reason: "Its key is refused." });
  assert.equal(behind.status, "queued");
});

test("tasks whose model is gone end, also those that were cut off", () => {
  const world = new World([gpu(0, "A", can("completion", "chat"), { slots: 1 }), gpu(1, "B", can("completion"))]);
  const [running, waiting, any] = [world.submit({ model: "A" }), world.submit({ model: "A" }), world.submit()];
  world.tell({ ...world.factsOf(0), state: "starting" });
  world.tell(gpu(0, "C", can("completion"), { slots: 1 }));
  assert.equal(endOf(waiting), 'failed model_not_found: model must be the name of a model (C, B); got "A".');
  assert.equal(running.status, "running", "its worker has not said anything yet");
  world.interrupt(0, "gpu_lost");
  assert.match(endOf(running), /^failed model_not_found/);
  assert.equal(any.gpuId, 1);
});

test("tasks of an earlier run wait for GPUs that may do them, and end when none can", () => {
  const world = new World([loading(0), loading(1)]);
  const [chat, vectors, named] = [
    world.task({ needs: CHAT }),
    world.task({ needs: VECTORS }),
    world.task({ model: "B" }),
  ];
  world.scheduler.restore([chat, vectors, named]);
  world.tell(gpu(0, "A", can("completion", "chat")));
  assert.deepEqual([chat.gpuId, vectors.status, named.status], [0, "queued", "queued"]);
  world.tell(gpu(1, "A", can("completion")));
  assert.match(endOf(vectors), /^failed unsupported: .* input cannot be made into vectors by any model here/);
  assert.match(endOf(named), /^failed model_not_found/);
});

test("the rest of a batch that is not split leaves its GPU when that cannot do it any more", () => {
  const world = new World([
    gpu(0, "A", can("completion", "chat"), { slots: 1 }),
    gpu(1, "B", can("completion", "chat"), { state: "faulted", slots: 1 }),
  ]);
  const [first, second] = world.batch(2, "whole", { needs: CHAT });
  assert.deepEqual([first!.gpuId, second!.boundTo], [0, 0]);
  world.tell(gpu(0, "C", can("completion"), { slots: 2 }));
  assert.deepEqual([second!.status, second!.boundTo], ["queued", null]);
  world.tell(gpu(1, "B", can("completion", "chat"), { slots: 1 }));
  assert.deepEqual([second!.gpuId, first!.status], [1, "running"]);
});

// --- refusals ----------------------------------------------------------------------------------------------------

test("a name that no model has is refused with those that there are", () => {
  const world = new World(GPUS);
  assert.equal(
    refusal(world, () => world.submit({ model: "gpt-4o" })),
    'model_not_found: model must be the name of a model (Base, Chatty, Vectors); got "gpt-4o".',
  );
  assert.match(
    refusal(world, () =>
      world.scheduler.submit([world.task({ batchId: "b" }), world.task({ batchId: "b", model: "x" })], "split"),
    ),
    /^model_not_found: batch\[1\]\.model must be /,
  );
});

test("a name is not judged before all GPUs have loaded once", () => {
  const world = new World([GPUS[0]!, loading(1)]);
  assert.equal(
    refusal(world, () => world.submit({ model: "Chatty" })),
    'not_ready: model asks for "Chatty", while GPU 1 is still loading its model; known are Base. Try again in 5 s.',
  );
  world.tell({ ...loading(1), state: "faulted" });
  assert.match(
    refusal(world, () => world.submit({ model: "Chatty" })),
    /^model_not_found/,
  );
});

test("what no model can do that a task may go to is refused with the field, the model, and what could", () => {
  const world = new World(GPUS);
  const asked = (changes: Partial<Task>) => refusal(world, () => world.submit(changes));
  assert.equal(
    asked({ model: "Base", needs: CHAT }),
    "unsupported: messages cannot be answered by the model Base; Chatty can.",
  );
  assert.equal(
    asked({ pinnedGpuId: 2, needs: STOP }),
    "unsupported: text cannot be continued by GPU 2; Base or Chatty can.",
  );
  assert.equal(
    asked({ needs: sharedNeeds(["completion", "min_p"]) }),
    "unsupported: min_p cannot be honoured by any model here; engine.kind llama could.",
  );
  assert.equal(
    asked({ needs: sharedNeeds(["completion", "top_k"]), model: "Base" }),
    "unsupported: top_k cannot be honoured by the model Base; Chatty can.",
  );
  assert.equal(
    asked({ pinnedGpuId: 0, model: "Vectors" }),
    "unsupported: model cannot be Vectors on GPU 0, which has Base; GPU 2 has it.",
  );
});

test("a batch is refused whole, with the index of the item that nothing can do", () => {
  const world = new World(GPUS);
  const batch = (grouping: "split" | "whole", ...asked: Partial<Task>[]) =>
    refusal(world, () => {
      const tasks = asked.map((changes) => world.task({ batchId: "b", wholeBatch: grouping === "whole", ...changes }));
      world.scheduler.submit(tasks, grouping);
    });
  assert.equal(
    batch("split", {}, { needs: CHAT, model: "Base" }),
    "unsupported: batch[1].messages cannot be answered by the model Base; Chatty can.",
  );
  assert.match(
    batch("whole", {}, { needs: VECTORS }),
    /batch_split cannot be false for this batch: no GPU can do all that/,
  );
  assert.match(batch("whole", { model: "Base" }, { model: "Chatty" }), /for this batch: it names 2 models\.$/);
});

test("a model none of whose GPUs can be used is refused with why", () => {
  const world = new World([GPUS[0]!, { ...GPUS[1]!, state: "unfit", reason: "Its file is gone." }]);
  assert.equal(
    refusal(world, () => world.submit({ model: "Chatty" })),
    "no_usable_gpu: No GPU with the model Chatty can run tasks. GPU 1: Its file is gone.",
  );
});
