/** Real GPUs, as far as a machine without any can show them: a server with stand-ins for NVIDIA's drivers, and simulated engines on them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { fakeNvidiaSmi, nvidiaGpu } from "../helpers/fake-drivers.ts";
import { gpuStubs, type GpuStubs, NO_GPU_STUBS, stubGpu, type StubGpu, WITHOUT_KOFFI } from "../helpers/gpu-stubs.ts";
import { childrenOf } from "../helpers/processes.ts";
import { altLas, newFolder, Server } from "../helpers/server.ts";

type Gpu = GpusAnswer["gpus"][number];
const GIB = 2 ** 30;

/** A server on the first GPUs of the stand-in driver, with a simulated engine on each. */
function config(devices: string, more = ""): string {
  return `
gpu: { devices: ${devices}, monitoring: { interval_ms: 50 }, health_check_interval: 0, worker_environment: [NVML_STUB_FILE] }
engine: { kind: simulated, simulated: { tokens_per_second: 200 } }
log: { level: debug }
${more}`;
}

async function start(
  t: TestContext,
  stubs: GpuStubs,
  options: { readonly devices?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Server> {
  const env = { ...stubs.environment, ...options.env };
  return Server.start(t, { config: config(options.devices ?? "[0, 1]"), env });
}

/** Waits for the list of GPUs to look as it should; it is read anew each time, as a dashboard would. */
async function untilGpus(server: Server, holds: (gpus: Gpu[]) => boolean): Promise<Gpu[]> {
  for (;;) {
    const gpus = await server.gpus();
    if (holds(gpus)) return gpus;
  }
}

test("the driver's GPUs are served in PCI order, with its figures and null for what it does not tell", async (t) => {
  const [first, second] = [
    stubGpu(1, { temperature: 51, power: 123.4 }),
    stubGpu(2, { name: "NVIDIA L4", power: null }),
  ];
  const stubs = await gpuStubs(t, [second, first]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs)).loaded();
  const gpus = await server.gpus();
  assert.deepEqual(
    gpus.map(({ id, name, uuid, pci_bus_id, kind, status }) => ({ id, name, uuid, pci_bus_id, kind, status })),
    [first, second].map(({ name, uuid, pciBusId }, id) => {
      return { id, name, uuid, pci_bus_id: pciBusId, kind: "gpu", status: "ready" };
    }),
  );
  const { temperature, power, compute_capability, memory_total } = gpus[0]!;
  assert.deepEqual([temperature, power, compute_capability, memory_total], [51, 123.4, 9, first.memoryTotal]);
  assert.equal(gpus[1]!.power, null);
  const task = await server.run({ text: "x", max_length: 3, gpu_options: { specific_gpu_id: 1 } });
  assert.deepEqual([task.status, task.gpu_id], ["completed", 1]);
});

test("a gpu_id stays with its card over restarts, and a card that is gone is listed as lost", async (t) => {
  const [a, b, c] = [stubGpu(1), stubGpu(2), stubGpu(3)];
  const stubs = await gpuStubs(t, [b, c]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const first = await (await start(t, stubs, { devices: "[gpu:0, gpu:1]" })).loaded();
  await first.stop();
  stubs.write([a, c]);
  const second = await first.restart();
  await second.became(1, "ready");
  const gpus = await second.gpus();
  assert.deepEqual(
    gpus.map(({ uuid, status }) => [uuid, status]),
    [
      [b.uuid, "lost"],
      [c.uuid, "ready"],
    ],
  );
  assert.match(gpus[0]!.reason!, /earlier start/);
  const { status, body } = await second.request("POST", "/api/v1/predict", {
    body: { text: "x", gpu_options: { specific_gpu_id: 0 } },
  });
  assert.deepEqual([status, body.code], [503, "no_usable_gpu"]);
});

test("an Xid error takes one GPU out and its tasks to the other, which does not notice; then it comes back", async (t) => {
  const [a, b] = [stubGpu(1), stubGpu(2)];
  const stubs = await gpuStubs(t, [a, b]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs)).loaded();
  const other = server.workers().get(1);
  const options = { strategy: "round_robin" };
  const running = await server.predict({ text: "long", max_length: 400, gpu_options: options });
  assert.equal(running.gpu_id, 0);
  stubs.write([{ ...a, events: [{ id: 1, xid: 79 }] }, b]);
  await server.became(0, "faulted");
  const [faulted] = await server.gpus();
  assert.match(faulted!.reason!, /^Xid 79: .*fallen off the bus.*needs a reset\.$/);
  assert.deepEqual(faulted!.xids, { 79: 1 });
  const task = await server.ended(running.task_id);
  assert.deepEqual(
    [task.status, task.attempts.map(({ gpu_id, reason }) => `${gpu_id} ${reason}`)],
    ["completed", ["0 gpu_lost", "1 completed"]],
  );
  assert.equal(server.workers().get(1), other);
  await server.became(0, "ready", 2);
});

test("a card that falls off the bus is lost, and serves again when it is back", async (t) => {
  const [a, b] = [stubGpu(1), stubGpu(2)];
  const stubs = await gpuStubs(t, [a, b]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs)).loaded();
  stubs.write([{ ...a, state: "lost" }, b]);
  await server.became(0, "lost");
  assert.equal((await server.run({ text: "x", max_length: 2 })).gpu_id, 1);
  stubs.write([a, b]);
  await server.became(0, "ready", 2);
  const task = await server.run({ text: "x", max_length: 2, gpu_options: { specific_gpu_id: 0 } });
  assert.equal(task.status, "completed");
});

test("a worker that CUDA gives another GPU than asked for is faulted, and never used", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1), stubGpu(2)]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await start(t, stubs, { devices: "[0]", env: { CUDA_STUB_WRONG: "1" } });
  await server.became(0, "faulted");
  const [gpu] = await server.gpus();
  assert.match(gpu!.reason!, /^The worker was to use GPU-.*, but the CUDA driver shows it .*\.$/);
  assert.equal((await server.request("GET", "/readyz")).status, 503);
});

/** What the driver says while our worker holds a share of the card's memory and works all the time, and another process holds the other share. */
function busy(gpu: StubGpu, own: { readonly pid: number; readonly share: number }, others: number): StubGpu {
  const worker = { pid: own.pid, memory: own.share * gpu.memoryTotal!, utilization: 100 };
  return { ...gpu, processes: [worker, { pid: 1, memory: others * gpu.memoryTotal!, utilization: 0 }] };
}

test("what our own model takes counts for nothing, and what others take shuts the GPU until they are gone", async (t) => {
  const gpu = stubGpu(1);
  const stubs = await gpuStubs(t, [gpu]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const devices = "[{ gpu: 0, slots: 2, memory_threshold: 0.4 }]";
  const server = await (await start(t, stubs, { devices })).loaded();
  const pid = server.workers().get(0)!;
  stubs.write([busy(gpu, { pid, share: 0.95 }, 0)]);
  await untilGpus(server, ([shown]) => shown!.memory_used! > 70 * GIB);
  const both = await Promise.all([1, 2].map(() => server.predict({ text: "x", max_length: 100 })));
  assert.deepEqual(
    both.map(({ status }) => status),
    ["running", "running"],
  );
  await Promise.all(both.map(({ task_id }) => server.ended(task_id)));

  stubs.write([busy(gpu, { pid, share: 0.45 }, 0.5)]);
  const [shut] = await untilGpus(server, ([shown]) => shown!.crowded !== null);
  assert.deepEqual([shut!.status, shut!.crowded], ["ready", "memory taken by others"]);
  const waiting = await server.predict({ text: "x", max_length: 2 });
  assert.equal(waiting.status, "queued");
  stubs.write([busy(gpu, { pid, share: 0.95 }, 0)]);
  assert.equal((await server.ended(waiting.task_id)).status, "completed");
});

test("a drained GPU gives back what runs at its deadline, stays drained over a restart, and serves again when resumed", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1), stubGpu(2)]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const first = await (await start(t, stubs)).loaded();
  const running = await first.predict({ text: "x", max_length: 400, gpu_options: { strategy: "round_robin" } });
  assert.equal(running.gpu_id, 0);
  const { status } = await first.request("POST", "/api/v1/gpus/0/drain", { body: { deadline_seconds: 0 } });
  assert.equal(status, 200);
  const task = await first.ended(running.task_id);
  assert.deepEqual(
    task.attempts.map(({ gpu_id, reason }) => `${gpu_id} ${reason}`),
    ["0 gpu_drained", "1 completed"],
  );
  assert.equal(first.workers().has(0), false);
  await first.stop();
  const second = await first.restart();
  await second.became(1, "ready");
  assert.equal((await second.gpus())[0]!.status, "drained");
  const waiting = await second.predict({ text: "x", max_length: 2, gpu_options: { specific_gpu_id: 0 } });
  assert.deepEqual([waiting.status, waiting.gpu_id], ["queued", 0]);
  // The second time its worker has just ended.
  for (const time of [1, 2]) {
    const resumed = await second.request<Gpu>("POST", "/api/v1/gpus/0/resume");
    assert.deepEqual([resumed.status, resumed.body.status], [200, "starting"]);
    await second.became(0, "ready", time);
    assert.equal((await second.ended(waiting.task_id)).status, "completed");
    await second.request("POST", "/api/v1/gpus/0/drain");
  }
});

test("a GPU that llama.cpp cannot open is listed as unfit; where it was chosen no CPU takes its place, else CPU devices stand in for it", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1)]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const env = stubs.environment;
  const strict = await (
    await Server.start(t, { env, config: "gpu: { devices: [0], worker_environment: [NVML_STUB_FILE] }" })
  ).loaded();
  const gpus = await strict.gpus();
  assert.deepEqual(
    gpus.map(({ kind, status }) => [kind, status]),
    [["gpu", "unfit"]],
  );
  assert.match(gpus[0]!.reason!, /add-gpu cuda/);
  assert.match(strict.stdout, /add-gpu cuda/);
  assert.equal((await strict.request("POST", "/api/v1/predict", { body: { text: "x" } })).status, 503);

  const lenient = await Server.start(t, {
    env,
    config: "gpu: { worker_environment: [NVML_STUB_FILE] }",
  });
  await lenient.became(1, "ready");
  assert.match(lenient.stdout, /^No GPU is used yet: the CPU stands in\..*\n {2}npm run add-gpu cuda$/m);
  assert.deepEqual([...new Set((await lenient.gpus()).map(({ kind }) => kind))], ["gpu", "cpu"]);
  const task = await lenient.run({ text: "Once upon a time", max_length: 4 });
  assert.equal(task.status, "completed");
  assert.notEqual(task.gpu_id, 0);
});

test("a GPU below the least compute capability is unfit, with both numbers", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1, { computeCapability: 6.1 })]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs, { devices: "[0]" })).loaded();
  const [gpu] = await server.gpus();
  assert.equal(gpu!.status, "unfit");
  assert.match(gpu!.reason!, /6\.1.*7(\.0)?/);
});

test("two cards that hold one model are one GPU: memory adds up, and one of them lost is the GPU lost", async (t) => {
  const [a, b] = [stubGpu(1), stubGpu(2)];
  const stubs = await gpuStubs(t, [a, b]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs, { devices: "[{ gpus: [0, 1], name: pair }]" })).loaded();
  const gpus = await server.gpus();
  assert.deepEqual(
    gpus.map(({ name, uuids, memory_total }) => ({ name, uuids, memory_total })),
    [{ name: "pair", uuids: [a.uuid, b.uuid], memory_total: a.memoryTotal! + b.memoryTotal! }],
  );
  assert.equal((await server.run({ text: "x", max_length: 2 })).status, "completed");
  stubs.write([a, { ...b, state: "gone" }]);
  await server.became(0, "lost");
});

test("two workers share a card: neither counts as an other to the other", async (t) => {
  const gpu = stubGpu(1);
  const stubs = await gpuStubs(t, [gpu]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs, { devices: "[0, 0]" })).loaded();
  const pids = [...server.workers().values()];
  assert.equal(pids.length, 2);
  const memory = 0.45 * gpu.memoryTotal!;
  stubs.write([{ ...gpu, processes: pids.map((pid) => ({ pid, memory, utilization: 50 })) }]);
  const gpus = await untilGpus(server, ([shown]) => shown!.memory_used! > 60 * GIB);
  assert.deepEqual(
    gpus.map(({ others_memory, crowded }) => [others_memory! < 0.02, crowded]),
    [
      [true, null],
      [true, null],
    ],
  );
});

test("one GPU's page shows its processes, running tasks and history; alt-las gpus prints the same", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1, { processes: [{ pid: 4321, memory: GIB, utilization: 5 }] })]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const server = await (await start(t, stubs, { devices: "[0]" })).loaded();
  const running = await server.predict({ text: "x", max_length: 4000 });
  const { body } = await server.request<Gpu & { processes: object[]; events: object[]; running_tasks: TaskView[] }>(
    "GET",
    "/api/v1/gpus/0",
  );
  assert.deepEqual(body.processes, [{ pid: 4321, memory: GIB, utilization: 5, own: false }]);
  assert.deepEqual(
    body.running_tasks.map(({ task_id }) => task_id),
    [running.task_id],
  );
  assert.ok(body.events.length >= 2);
  const env = { ALT_LAS_API_KEY: server.key };
  const printed = await altLas(["gpus", "--url", server.url], { env });
  assert.deepEqual([printed.code, printed.stderr], [0, ""]);
  assert.match(printed.stdout, /NVIDIA H100.*ready.*1\/8/);
  const json = await altLas(["gpus", "--url", server.url, "--json"], { env, cwd: newFolder(t) });
  assert.equal((JSON.parse(json.stdout) as GpusAnswer).gpus[0]!.uuid, stubGpu(1).uuid);
});

test("where NVML cannot be loaded, nvidia-smi tells the same, and the server survives a telemetry process that is killed", async (t) => {
  const smi = fakeNvidiaSmi(t, { gpus: [nvidiaGpu(1), nvidiaGpu(2)] });
  const env = { PATH: `${smi.folder}:${process.env["PATH"]}`, ...WITHOUT_KOFFI };
  const server = await Server.start(t, { config: config("[0, 1]"), env });
  await server.loaded();
  const gpus = await untilGpus(server, ([shown]) => shown!.temperature !== null);
  assert.deepEqual(
    gpus.map(({ pci_bus_id, status }) => [pci_bus_id, status]),
    [
      ["0000:01:00.0", "ready"],
      ["0000:02:00.0", "ready"],
    ],
  );
  const telemetry = childrenOf(server.pid).find(({ command }) => command.startsWith("alt-las telemetry"));
  process.kill(telemetry!.pid, "SIGKILL");
  await server.logged(({ msg }) => msg === "GPU drivers answer again");
  assert.equal((await server.run({ text: "x", max_length: 2 })).status, "completed");
});
