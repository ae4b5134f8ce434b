/** NVIDIA GPUs as nvidia-smi tells them: a stand-in that runs as a process of its own and writes what real ones wrote. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { openNvidiaSmi } from "../../src/gpu/telemetry/nvidia-smi.ts";
import { type Driver, type Snapshot } from "../../src/gpu/telemetry/telemetry.ts";
import {
  failureUntil,
  type FakeNvidiaGpu,
  type FakeNvidiaSmi,
  fakeNvidiaSmi,
  type FakeNvidiaState,
  nvidiaGpu,
  sampleUntil,
} from "../helpers/fake-drivers.ts";
import { childrenOf, type Process } from "../helpers/processes.ts";

const MIB = 1024 * 1024;
const [A, B] = [nvidiaGpu(1), nvidiaGpu(2)];

/** Discovered, so that it samples; closed when the test ends. */
async function open(t: TestContext, state: FakeNvidiaState): Promise<{ driver: Driver; smi: FakeNvidiaSmi }> {
  const smi = fakeNvidiaSmi(t, state);
  const driver = await openNvidiaSmi({ interval: 20, command: smi.command });
  t.after(() => driver.close());
  await driver.discover();
  return { driver, smi };
}

async function sampleOf(t: TestContext, gpu: FakeNvidiaGpu) {
  const { driver } = await open(t, { gpus: [gpu] });
  // That no process uses it is known a little later than its figures.
  return (await sampleUntil(driver, ({ samples }) => samples[0]?.processes !== null)).samples[0]!;
}

/** The processes of nvidia-smi that this one has in their loop. */
function loops(): readonly Process[] {
  return childrenOf(process.pid).filter(({ command }) => command.includes("-lms"));
}

const has = (count: number) => (snapshot: Snapshot) => snapshot.samples.length === count;

test("a GPU is known by its UUID, and its bus is written as the kernel writes it", async (t) => {
  const { driver } = await open(t, {
    gpus: [nvidiaGpu(0xc1, { slowdownTemperature: 89 })],
    driverVersion: "535.54.03",
  });
  assert.equal(driver.source, "nvidia-smi 535.54.03");
  assert.deepEqual(await driver.discover(), [
    {
      vendor: "nvidia",
      uuid: "GPU-000000c1-0000-0000-0000-000000000000",
      parentUuid: null,
      pciBusId: "0000:c1:00.0",
      index: 0,
      name: "NVIDIA H100 80GB HBM3",
      computeCapability: 9,
      memoryTotal: 81_559 * MIB,
      slowdownTemperature: 89,
    },
  ]);
});

test("its figures are bytes, percent, degrees and watts, and why its clock is low", async (t) => {
  const gpu = { memoryUsed: 30_000, utilization: 97, temperature: 71, power: 651.5, throttle: "0x0000000000000025" };
  assert.deepEqual(await sampleOf(t, { ...A, ...gpu, ecc: [7, 1] }), {
    uuid: A.uuid,
    utilization: 97,
    memoryTotal: 81_559 * MIB,
    memoryUsed: 30_000 * MIB,
    memoryFree: 51_559 * MIB,
    temperature: 71,
    power: 651.5,
    powerLimit: 700,
    energy: null,
    throttle: ["sw_power_cap", "sw_thermal_slowdown"],
    processes: [],
    ecc: { corrected: 7, uncorrected: 1 },
  });
});

test("what a GPU does not tell is null, never 0, and does not lose it", async (t) => {
  const { busId, name } = A;
  const says = {
    "power.draw": "[Unknown Error]",
    "power.limit": "[Not Supported]",
    "memory.free": "[Insufficient Permissions]",
  };
  const sample = await sampleOf(t, { busId, uuid: A.uuid, name, memoryTotal: A.memoryTotal, says });
  const { uuid, memoryTotal, processes, ...others } = sample;
  assert.deepEqual([uuid, memoryTotal, processes], [A.uuid, 81_559 * MIB, []]);
  assert.deepEqual(new Set(Object.values(others)), new Set([null]));
});

for (const count of [1, 2, 8]) {
  test(`${count} GPUs are listed in PCI bus order, whatever order the driver lists them in`, async (t) => {
    const gpus = Array.from({ length: count }, (_, at) => nvidiaGpu(8 + at, { utilization: at }));
    const { driver } = await open(t, { gpus: gpus.toReversed() });
    assert.deepEqual(
      (await driver.discover()).map(({ uuid, index }) => [uuid, index]),
      gpus.map(({ uuid }, at) => [uuid, count - 1 - at]),
    );
    const { samples } = await driver.sample();
    assert.deepEqual(
      samples.map(({ uuid, utilization }) => [uuid, utilization]),
      gpus.map(({ uuid, utilization }) => [uuid, utilization]),
    );
  });
}

test("different models stand side by side", async (t) => {
  const old = { name: "Tesla V100-SXM2-32GB", memoryTotal: 32_768, computeCapability: "7.0", slowdownTemperature: 87 };
  const { driver } = await open(t, { gpus: [A, { ...B, ...old }] });
  assert.deepEqual(
    (await driver.discover()).map((gpu) => [gpu.computeCapability, gpu.memoryTotal, gpu.slowdownTemperature]),
    [
      [9, 81_559 * MIB, null],
      [7, 32_768 * MIB, 87],
    ],
  );
});

test("load is followed without starting nvidia-smi again", async (t) => {
  const busy = { ...A, processes: [{ pid: 111 }] };
  const { driver, smi } = await open(t, { gpus: [busy] });
  // Both of them write by then.
  await sampleUntil(driver, ({ samples }) => samples[0]?.processes?.length === 1);
  const before = smi.runs();
  for (const utilization of [10, 20, 30]) {
    smi.write({ gpus: [{ ...busy, utilization }] });
    await sampleUntil(driver, ({ samples }) => samples[0]?.utilization === utilization);
  }
  const looping = smi.runs().filter((run) => run.includes("-lms 20"));
  assert.deepEqual(
    looping.map((run) => run.split("=")[0]).toSorted(),
    ["--query-compute-apps", "--query-gpu"],
    "one for the cards and one for the processes",
  );
  assert.deepEqual(
    smi.runs().filter((run) => !before.includes(run) && !run.includes("-lms")),
    [],
  );
});

test("processes are listed with their memory on the GPU they use, and are gone when they end", async (t) => {
  const processes = [{ pid: 111, memory: 20_000 }, { pid: 222 }];
  const { driver, smi } = await open(t, { gpus: [A, { ...B, processes }] });
  const { samples } = await sampleUntil(driver, (snapshot) => snapshot.samples[1]?.processes?.length === 2);
  assert.deepEqual(
    samples.map((sample) => sample.processes),
    [
      [],
      [
        { pid: 111, memory: 20_000 * MIB, utilization: null },
        { pid: 222, memory: null, utilization: null },
      ],
    ],
  );
  smi.write({ gpus: [A, { ...B, processes: processes.slice(1) }] });
  const [, left] = (await sampleUntil(driver, (snapshot) => snapshot.samples[1]?.processes?.length === 1)).samples;
  assert.equal(left?.processes?.[0]?.pid, 222);
  smi.write({ gpus: [A, B] });
  await sampleUntil(driver, (snapshot) => snapshot.samples[1]?.processes?.length === 0);
});

test("a GPU that is no longer listed is lost, its neighbour is not, and it is there again when it returns", async (t) => {
  const { driver, smi } = await open(t, { gpus: [A, B] });
  smi.write({ gpus: [A] });
  const { samples, lost } = await sampleUntil(driver, has(1));
  assert.equal(samples[0]?.uuid, A.uuid);
  assert.deepEqual(lost, [
    { uuid: B.uuid, reason: "The GPU at 0000:02:00.0 is not listed any more, says nvidia-smi." },
  ]);
  smi.write({ gpus: [A, B] });
  assert.deepEqual((await sampleUntil(driver, has(2))).lost, []);
});

for (const [says, reason] of [
  ["[GPU is lost]", "is lost"],
  ["[GPU requires reset]", "needs a reset"],
  ["[Unknown Error]", "answers with an unknown error"],
] as const) {
  test(`a GPU whose figures are ${says} is lost`, async (t) => {
    const { driver, smi } = await open(t, { gpus: [A, B] });
    const fields = ["utilization.gpu", "temperature.gpu", "power.draw", "power.limit"];
    const memory = ["memory.used", "memory.free", "memory.total", "clocks_event_reasons.active"];
    const rest = ["clocks_throttle_reasons.active", "ecc.errors.corrected.volatile.total"];
    const all = [...fields, ...memory, ...rest, "ecc.errors.uncorrected.volatile.total"];
    smi.write({ gpus: [A, { ...B, says: Object.fromEntries(all.map((field) => [field, says])) }] });
    const { lost } = await sampleUntil(driver, has(1));
    assert.deepEqual(lost, [{ uuid: B.uuid, reason: `The GPU at 0000:02:00.0 ${reason}, says nvidia-smi.` }]);
  });
}

test("a GPU that nvidia-smi complains about instead of listing it is lost, with the complaint", async (t) => {
  const { driver, smi } = await open(t, { gpus: [A, B] });
  const complaint = "Unable to determine the device handle for GPU1: 0000:02:00.0: Unknown Error";
  smi.write({ gpus: [A, { ...B, complaint }] });
  const { lost } = await sampleUntil(driver, has(1));
  assert.equal(lost[0]?.reason, `The GPU at 0000:02:00.0 is out of reach ("${complaint}"), says nvidia-smi.`);
  smi.write({ gpus: [A, B] });
  await sampleUntil(driver, has(2));
  smi.write({ gpus: [A] });
  const [again] = (await sampleUntil(driver, has(1))).lost;
  assert.match(again?.reason ?? "", /is not listed any more/, "an old complaint says nothing of now");
});

test("when nvidia-smi ends because no GPU is left, all are lost, until they are back", async (t) => {
  const { driver, smi } = await open(t, { gpus: [A, B] });
  smi.write({ gpus: [] });
  const { lost } = await sampleUntil(driver, has(0));
  assert.deepEqual(
    lost.map(({ reason }) => reason),
    ["01", "02"].map((bus) => `The GPU at 0000:${bus}:00.0 is not found any more, says nvidia-smi.`),
  );
  smi.write({ gpus: [A, B] });
  await sampleUntil(driver, has(2));
});

test("when nvidia-smi dies, samples fail with what it said last, until it is started again", async (t) => {
  const text = "Failed to initialize NVML: Driver/library version mismatch";
  const { driver, smi } = await open(t, { gpus: [{ ...A, processes: [{ pid: 1 }] }] });
  await sampleUntil(driver, ({ samples }) => samples[0]?.processes?.length === 1);
  smi.write({ gpus: [A], failure: { text, code: 18 } });
  const error = await failureUntil(driver);
  assert.equal(error.message, `nvidia-smi ended and is started again: ${text}`);
  smi.write({ gpus: [{ ...A, utilization: 50, processes: [{ pid: 2 }] }] });
  const { samples } = await sampleUntil(driver, (snapshot) => snapshot.samples[0]?.processes?.length === 1);
  assert.deepEqual([samples[0]?.utilization, samples[0]?.processes?.[0]?.pid], [50, 2]);
});

test("an old nvidia-smi that refuses fields is asked for those it knows", async (t) => {
  const unknownFields = ["compute_cap", "mig.mode.current", "clocks_event_reasons.active"];
  const { driver } = await open(t, { gpus: [{ ...A, throttle: "0x0000000000000008" }], unknownFields });
  assert.equal((await driver.discover())[0]?.computeCapability, null);
  const [sample] = (await driver.sample()).samples;
  assert.deepEqual([sample?.utilization, sample?.throttle], [0, ["hw_slowdown"]]);
});

test("a card divided by MIG is replaced by its parts, which are as hot as the card and tell no memory of their own", async (t) => {
  const mig = [
    { uuid: "MIG-00000000-0000-0000-0000-000000000000", profile: "3g.40gb" },
    { uuid: "MIG-00000001-0000-0000-0000-000000000000", profile: "1g.10gb" },
  ];
  const processes = [{ pid: 111, memory: 100, device: mig[1]!.uuid }];
  const { driver } = await open(t, { gpus: [{ ...A, mig, temperature: 66, processes }, B] });
  const gpus = await driver.discover();
  assert.deepEqual(
    gpus.map(({ uuid, parentUuid, pciBusId, index, name, memoryTotal }) =>
      [uuid, parentUuid, pciBusId, index, name, memoryTotal].join(),
    ),
    [
      `${mig[0]!.uuid},${A.uuid},${A.busId},0,NVIDIA H100 80GB HBM3 MIG 3g.40gb,`,
      `${mig[1]!.uuid},${A.uuid},${A.busId},1,NVIDIA H100 80GB HBM3 MIG 1g.10gb,`,
      `${B.uuid},,${B.busId},1,NVIDIA H100 80GB HBM3,${81_559 * MIB}`,
    ],
  );
  const { samples } = await sampleUntil(driver, (snapshot) => snapshot.samples[1]?.processes?.length === 1);
  const parts = samples.slice(0, 2);
  assert.deepEqual(
    parts.map(({ temperature, memoryUsed, memoryTotal, power }) => [temperature, memoryUsed, memoryTotal, power]),
    [
      [66, null, null, null],
      [66, null, null, null],
    ],
  );
  assert.equal(parts[0]?.processes, null, "they may be listed under the card");
});

test("a machine without nvidia-smi is refused with a sentence", async () => {
  await assert.rejects(openNvidiaSmi({ interval: 20, command: "no-such-nvidia-smi" }), {
    message: "There is no no-such-nvidia-smi.",
  });
});

test("an nvidia-smi that finds no GPU, or no driver, is refused with what it says", async (t) => {
  const smi = fakeNvidiaSmi(t, { gpus: [] });
  const opened = () => openNvidiaSmi({ interval: 20, command: smi.command });
  await assert.rejects(opened, { message: "nvidia-smi lists no GPU: No devices were found" });
  const text = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.";
  smi.write({ gpus: [A], failure: { text, code: 9 } });
  await assert.rejects(opened, { message: `nvidia-smi lists no GPU: ${text}` });
});

test("without a command, the nvidia-smi in the PATH is run", async (t) => {
  const { folder } = fakeNvidiaSmi(t, { gpus: [A] });
  const path = process.env["PATH"];
  process.env["PATH"] = `${folder}:${path}`;
  t.after(() => (process.env["PATH"] = path));
  const driver = await openNvidiaSmi({ interval: 20 });
  t.after(() => driver.close());
  assert.equal((await driver.discover()).length, 1);
});

test("no nvidia-smi is left behind when the driver is closed", async (t) => {
  const { driver } = await open(t, { gpus: [A] });
  await driver.sample();
  assert.equal(loops().length, 2);
  await driver.close();
  assert.deepEqual(loops(), []);
});
