/** The whole way to a driver: Node, koffi, a library with NVML's functions, and the GPUs of a file behind it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { openNvml, SAMPLES_BETWEEN_RETRIES } from "../src/gpu/telemetry/nvml.ts";
import { type Driver, type GpuEvent, type GpuSample, type Snapshot } from "../src/gpu/telemetry/telemetry.ts";
import { setEnvironment } from "./helpers/environment.ts";
import {
  type GpuStubs,
  gpuStubs,
  NO_GPU_STUBS,
  stubGpu,
  type StubGpu,
  stubMig,
  type StubVariant,
  WITHOUT_KOFFI,
} from "./helpers/gpu-stubs.ts";
import { type Ran, runProgram } from "./helpers/server.ts";

const MIB = 1024 * 1024;
const A = stubGpu(1);
const B = stubGpu(2);

interface Opened {
  readonly stubs: GpuStubs;
  readonly driver: Driver;
}

/** Runs a test over stub GPUs that were discovered. */
function withGpus(name: string, gpus: readonly StubGpu[], body: (opened: Opened) => Promise<void>): void {
  withVariant("current", name, gpus, body);
}

function withVariant(
  variant: StubVariant,
  name: string,
  gpus: readonly StubGpu[],
  body: (opened: Opened) => Promise<void>,
): void {
  test(name, async (t) => {
    const stubs = await stubsFor(t, gpus, variant);
    if (stubs === null) return;
    const driver = await openNvml(stubs.nvml);
    t.after(() => driver.close());
    await driver.discover();
    await body({ stubs, driver });
  });
}

async function stubsFor(t: TestContext, gpus: readonly StubGpu[], variant: StubVariant): Promise<GpuStubs | null> {
  const stubs = await gpuStubs(t, gpus, { variant });
  if (stubs === null) t.skip(NO_GPU_STUBS);
  else setEnvironment(t, { NVML_STUB_FILE: stubs.file });
  return stubs;
}

function runModule(source: string, env: Readonly<Record<string, string>>): Promise<Ran> {
  return runProgram(process.execPath, ["--input-type=module", "--eval", source], { cwd: import.meta.dirname, env });
}

/** Of the only GPU. */
async function sampleOf(driver: Driver): Promise<GpuSample> {
  const { samples, lost } = await driver.sample();
  assert.deepEqual(lost, []);
  assert.equal(samples.length, 1);
  return samples[0]!;
}

/** The first sample that has nothing lost any more; NVML is to be initialized anew meanwhile. */
async function sampleWhenBack(driver: Driver): Promise<Snapshot> {
  for (let count = 0; count <= SAMPLES_BETWEEN_RETRIES; count++) {
    const snapshot = await driver.sample();
    if (snapshot.lost.length === 0) return snapshot;
  }
  throw new Error("the GPU did not come back");
}

function uuids({ samples }: Snapshot): string[] {
  return samples.map(({ uuid }) => uuid);
}

/** Prints the first GPU's UUID. */
const OPEN = `
  import { openNvml } from ${JSON.stringify(import.meta.resolve("../src/gpu/telemetry/nvml.ts"))};
  console.log((await (await openNvml()).discover())[0].uuid);
`;

// --- who is there ------------------------------------------------------------------------------------------------

for (const count of [1, 2, 8]) {
  const gpus = Array.from({ length: count }, (_, at) => stubGpu(at + 1, { utilization: at }));
  withGpus(`${count} GPUs come in PCI bus order, whatever NVML's own order`, gpus.toReversed(), async ({ driver }) => {
    assert.deepEqual(
      (await driver.discover()).map(({ uuid, index }) => [uuid, index]),
      gpus.map(({ uuid }, at) => [uuid, count - 1 - at]),
    );
    const { samples } = await driver.sample();
    assert.deepEqual(
      new Map(samples.map(({ uuid, utilization }) => [uuid, utilization])),
      new Map(gpus.toReversed().map(({ uuid, utilization }) => [uuid, utilization])),
    );
  });
}

withGpus("a GPU tells who it is", [stubGpu(0x65)], async ({ driver }) => {
  assert.equal(driver.source, "NVML 570.124.06");
  assert.deepEqual(await driver.discover(), [
    {
      vendor: "nvidia",
      uuid: "GPU-ca4d0065-0000-4000-8000-000000000000",
      parentUuid: null,
      pciBusId: "0000:65:00.0",
      index: 0,
      name: "NVIDIA H100 80GB HBM3",
      computeCapability: 9,
      memoryTotal: 81_559 * MIB,
      slowdownTemperature: 90,
    },
  ]);
});

const V100 = stubGpu(2, { name: "Tesla V100-SXM2-32GB", computeCapability: 7, slowdownTemperature: 87, ecc: null });
const RTX = stubGpu(3, { name: "NVIDIA GeForce RTX 3060", computeCapability: 8.6, memoryTotal: 12_288 * MIB });

withGpus("different models stand side by side", [A, V100, RTX], async ({ driver }) => {
  assert.deepEqual(
    (await driver.discover()).map((gpu) => [gpu.name, gpu.computeCapability, gpu.memoryTotal, gpu.slowdownTemperature]),
    [A, V100, RTX].map((gpu) => [gpu.name, gpu.computeCapability, gpu.memoryTotal, gpu.slowdownTemperature]),
  );
});

withGpus(
  "a domain of the PCI bus may need more than one digit",
  [stubGpu(1, { pciBusId: "00a0:C1:00.0" })],
  async ({ driver }) => {
    assert.equal((await driver.discover())[0]!.pciBusId, "00a0:c1:00.0");
  },
);

withGpus("a machine may have a driver and no GPU", [], async ({ driver }) => {
  assert.deepEqual(await driver.discover(), []);
  assert.deepEqual(await driver.sample(), { samples: [], lost: [], events: [] });
});

// --- figures -----------------------------------------------------------------------------------------------------

const BUSY = stubGpu(1, {
  memoryReserved: 500,
  memoryUsed: 4000,
  memoryTotal: 10_000,
  utilization: 87,
  temperature: 71,
  power: 312.5,
  powerLimit: 350,
  energy: 1_234_567.891,
  clockReasons: 0x1 | 0x2 | 0x4 | 0x40,
  ecc: { corrected: 3, uncorrected: 1 },
});

withGpus("a sample has every figure in its unit", [BUSY], async ({ driver }) => {
  assert.deepEqual(await sampleOf(driver), {
    uuid: BUSY.uuid,
    utilization: 87,
    memoryTotal: 10_000,
    memoryUsed: 4000,
    memoryFree: 5500,
    temperature: 71,
    power: 312.5,
    powerLimit: 350,
    energy: 1_234_567.891,
    throttle: ["sw_power_cap", "hw_thermal_slowdown"],
    processes: [],
    ecc: { corrected: 3, uncorrected: 1 },
  });
});

withGpus("samples follow what the GPU does", [A], async ({ driver, stubs }) => {
  for (const temperature of [50, 60, 55]) {
    stubs.write([{ ...A, temperature }]);
    assert.equal((await sampleOf(driver)).temperature, temperature);
  }
});

const BARE = stubGpu(1, {
  name: null,
  computeCapability: null,
  memoryTotal: null,
  utilization: null,
  temperature: null,
  slowdownTemperature: null,
  power: null,
  powerLimit: null,
  energy: null,
  clockReasons: null,
  ecc: null,
  processes: null,
  processUtilization: null,
  events: null,
});

withGpus("what a GPU does not support is null, and the GPU is not lost for it", [BARE], async ({ driver }) => {
  const [identity] = await driver.discover();
  assert.deepEqual(
    [identity!.computeCapability, identity!.memoryTotal, identity!.slowdownTemperature],
    [null, null, null],
  );
  const { uuid, ...figures } = await sampleOf(driver);
  assert.equal(uuid, BARE.uuid);
  for (const [figure, value] of Object.entries(figures)) assert.equal(value, null, figure);
});

withGpus("an unsupported figure takes no other along", [stubGpu(1, { power: null, ecc: null })], async ({ driver }) => {
  const sample = await sampleOf(driver);
  assert.deepEqual([sample.power, sample.ecc], [null, null]);
  assert.deepEqual([sample.powerLimit, sample.temperature, sample.memoryTotal], [700, 40, 81_559 * MIB]);
});

// --- processes ---------------------------------------------------------------------------------------------------

const SHARED = stubGpu(1, {
  processes: [
    { pid: 101, memory: 4000 * MIB, utilization: 60 },
    { pid: 102, memory: 300 * MIB, utilization: 25, kind: "both" },
    { pid: 103, memory: 20 * MIB, kind: "graphics" },
    { pid: 104 },
  ],
});

withGpus("processes have their memory and their share of the time", [SHARED], async ({ driver }) => {
  const sample = await sampleOf(driver);
  assert.equal(sample.memoryUsed, 4320 * MIB);
  assert.equal(sample.utilization, 85);
  assert.deepEqual(
    sample.processes!.toSorted((a, b) => a.pid - b.pid),
    [
      { pid: 101, memory: 4000 * MIB, utilization: 60 },
      { pid: 102, memory: 300 * MIB, utilization: 25 },
      { pid: 103, memory: 20 * MIB, utilization: 0 },
      { pid: 104, memory: null, utilization: 0 },
    ],
  );
});

withGpus("a process that stops working uses nothing", [SHARED], async ({ driver, stubs }) => {
  await driver.sample();
  stubs.write([stubGpu(1, { processes: [{ pid: 101, memory: MIB, utilization: 0 }] })]);
  assert.deepEqual((await sampleOf(driver)).processes, [{ pid: 101, memory: MIB, utilization: 0 }]);
});

withGpus(
  "a process's share holds while the driver has no newer sample and the GPU is busy",
  [SHARED],
  async ({ driver, stubs }) => {
    const share = async (): Promise<number | null> => (await sampleOf(driver)).processes![0]!.utilization;
    await driver.sample();
    stubs.write([{ ...SHARED, processUtilization: "silent" }]);
    assert.equal(await share(), 60);
    stubs.write([{ ...SHARED, processUtilization: "silent", utilization: 0 }]);
    assert.equal(await share(), 0);
  },
);

withGpus(
  "shares are null where the driver tells none",
  [{ ...SHARED, processUtilization: null }],
  async ({ driver }) => {
    const { processes } = await sampleOf(driver);
    assert.deepEqual([...new Set(processes!.map(({ utilization }) => utilization))], [null]);
  },
);

const IMPOSSIBLE = stubGpu(1, { processes: [{ pid: 101, utilization: 4_000_000 }] });

withGpus("a share above 100 percent is not believed", [IMPOSSIBLE], async ({ driver }) => {
  assert.deepEqual((await sampleOf(driver)).processes, [{ pid: 101, memory: null, utilization: 0 }]);
});

const CROWD = Array.from({ length: 400 }, (_, at) => ({ pid: 1000 + at, memory: MIB, utilization: 1 + (at % 100) }));

withGpus("hundreds of processes are all listed", [stubGpu(1, { processes: CROWD })], async ({ driver }) => {
  assert.deepEqual((await sampleOf(driver)).processes, CROWD);
});

// --- events ------------------------------------------------------------------------------------------------------

const OLD_EVENT = { id: 1, xid: 31 };

withGpus(
  "each event is told once, and none from before",
  [{ ...A, events: [OLD_EVENT] }, B],
  async ({ driver, stubs }) => {
    const events = async (): Promise<readonly GpuEvent[]> => (await driver.sample()).events;
    assert.deepEqual(await events(), []);
    stubs.write([
      { ...A, events: [OLD_EVENT, { id: 2, xid: 13 }, { id: 3, xid: 43 }] },
      { ...B, events: [{ id: 4, doubleBitEcc: true }] },
    ]);
    assert.deepEqual(await events(), [
      { type: "xid", uuid: A.uuid, xid: 13 },
      { type: "xid", uuid: A.uuid, xid: 43 },
      { type: "double_bit_ecc", uuid: B.uuid },
    ]);
    assert.deepEqual(await events(), []);
  },
);

withGpus("a flood of events is told over several samples, without loss", [A], async ({ driver, stubs }) => {
  const events = Array.from({ length: 200 }, (_, at) => ({ id: at + 1, xid: at + 1 }));
  stubs.write([{ ...A, events }]);
  const told: GpuEvent[] = [];
  for (let isMore = true; isMore;) {
    const { events: next } = await driver.sample();
    assert.ok(next.length < events.length, "a sample must not go on for as long as there are events");
    told.push(...next);
    isMore = next.length > 0;
  }
  assert.deepEqual(
    told,
    events.map(({ xid }) => ({ type: "xid", uuid: A.uuid, xid })),
  );
});

// --- lost and found ----------------------------------------------------------------------------------------------

withGpus(
  "a GPU that is lost is named, the others are still sampled, and it returns",
  [A, B],
  async ({ driver, stubs }) => {
    stubs.write([{ ...A, state: "lost" }, B]);
    const during = await driver.sample();
    assert.deepEqual(uuids(during), [B.uuid]);
    assert.deepEqual(during.lost, [
      {
        uuid: A.uuid,
        reason: "The GPU at 0000:01:00.0 is lost, says NVML: it has fallen off the bus or is out of reach.",
      },
    ]);
    for (let count = 0; count < 2 * SAMPLES_BETWEEN_RETRIES; count++) {
      const { samples, lost } = await driver.sample();
      assert.deepEqual([samples.length, lost], [1, during.lost]);
    }
    stubs.write([A, B]);
    assert.deepEqual(uuids(await sampleWhenBack(driver)), [A.uuid, B.uuid]);
  },
);

withGpus("a GPU that vanishes is lost at once, and back when it is listed again", [A, B], async ({ driver, stubs }) => {
  stubs.write([{ ...A, state: "gone" }, B]);
  const { samples, lost } = await driver.sample();
  assert.deepEqual(
    [samples.map(({ uuid }) => uuid), lost],
    [[B.uuid], [{ uuid: A.uuid, reason: "The GPU at 0000:01:00.0 is not listed any more, says NVML." }]],
  );
  stubs.write([A, B]);
  assert.deepEqual(uuids(await driver.sample()), [A.uuid, B.uuid]);
});

withGpus("a GPU that needs a reset, or answers nothing but errors, is lost", [A, B], async ({ driver, stubs }) => {
  stubs.write([
    { ...A, state: "reset" },
    { ...B, state: 999 },
  ]);
  const { samples, lost } = await driver.sample();
  assert.deepEqual(samples, []);
  assert.deepEqual(
    lost.map(({ reason }) => reason),
    [
      "The GPU at 0000:01:00.0 needs a reset before it can be used again, says NVML.",
      "The GPU at 0000:02:00.0 does not answer any more, says NVML (Unknown Error).",
    ],
  );
});

for (const state of ["lost", "gone"] as const) {
  withGpus(`what happened to a GPU as it was ${state} is told, once`, [A, B], async ({ driver, stubs }) => {
    stubs.write([{ ...A, state, events: [{ id: 1, xid: 79 }] }, B]);
    const told: GpuEvent[] = [];
    for (let count = 0; count < 2 * SAMPLES_BETWEEN_RETRIES; count++) told.push(...(await driver.sample()).events);
    assert.deepEqual(told, [{ type: "xid", uuid: A.uuid, xid: 79 }]);
  });
}

withGpus("events are told after a GPU has returned as before", [A, B], async ({ driver, stubs }) => {
  stubs.write([{ ...A, state: "gone" }, B]);
  await driver.sample();
  stubs.write([A, B]);
  await sampleWhenBack(driver);
  stubs.write([{ ...A, events: [{ id: 1, xid: 31 }] }, B]);
  assert.deepEqual((await driver.sample()).events, [{ type: "xid", uuid: A.uuid, xid: 31 }]);
});

withGpus("a driver that fails as a whole fails the sample, and may work again", [A], async ({ driver, stubs }) => {
  stubs.write([{ ...A, state: "gone" }], { nvmlError: 999 });
  await assert.rejects(driver.sample(), { message: "NVML refused to start: Unknown Error" });
  await assert.rejects(driver.sample(), { message: "NVML refused to start: Unknown Error" });
  stubs.write([A]);
  assert.deepEqual(uuids(await driver.sample()), [A.uuid]);
});

// --- MIG ---------------------------------------------------------------------------------------------------------

const PARTS = [
  stubMig(1, { processes: [{ pid: 201, memory: 1000 * MIB }] }),
  stubMig(2, { name: "NVIDIA H100 80GB HBM3 MIG 3g.40gb", memoryTotal: 40_448 * MIB }),
];
const DIVIDED = stubGpu(1, { utilization: null, processUtilization: null, temperature: 66, power: 250, mig: PARTS });

withGpus("the MIG devices of a card stand in its place", [DIVIDED, B], async ({ driver }) => {
  const gpus = await driver.discover();
  assert.deepEqual(
    gpus.map(({ uuid, parentUuid, pciBusId, index }) => [uuid, parentUuid, pciBusId, index]),
    [
      [PARTS[0]!.uuid, DIVIDED.uuid, DIVIDED.pciBusId, 0],
      [PARTS[1]!.uuid, DIVIDED.uuid, DIVIDED.pciBusId, 1],
      [B.uuid, null, B.pciBusId, 1],
    ],
  );
  assert.deepEqual(
    gpus.map(({ name, computeCapability, memoryTotal }) => [name, computeCapability, memoryTotal]),
    [PARTS[0]!, PARTS[1]!, B].map(({ name, memoryTotal }) => [name, 9, memoryTotal]),
  );
});

withGpus("a MIG device has its own memory and processes, and its card's temperature", [DIVIDED], async ({ driver }) => {
  const { samples } = await driver.sample();
  assert.deepEqual(
    samples.map(({ uuid, memoryUsed, utilization, processes }) => [uuid, memoryUsed, utilization, processes]),
    [
      [PARTS[0]!.uuid, 1000 * MIB, null, [{ pid: 201, memory: 1000 * MIB, utilization: null }]],
      [PARTS[1]!.uuid, 0, null, []],
    ],
  );
  for (const { temperature, power } of samples) assert.deepEqual([temperature, power], [66, null]);
});

withGpus(
  "an event goes to the MIG device it belongs to, or to all of the card",
  [DIVIDED],
  async ({ driver, stubs }) => {
    stubs.write([
      {
        ...DIVIDED,
        events: [
          { id: 1, xid: 13, gpuInstance: 2 },
          { id: 2, xid: 79 },
        ],
      },
    ]);
    assert.deepEqual((await driver.sample()).events, [
      { type: "xid", uuid: PARTS[1]!.uuid, xid: 13 },
      { type: "xid", uuid: PARTS[0]!.uuid, xid: 79 },
      { type: "xid", uuid: PARTS[1]!.uuid, xid: 79 },
    ]);
  },
);

withGpus("a MIG device that is destroyed is lost, its neighbour is not", [DIVIDED], async ({ driver, stubs }) => {
  stubs.write([{ ...DIVIDED, mig: [{ ...PARTS[0]!, state: "gone" }, PARTS[1]!] }]);
  const { samples, lost } = await driver.sample();
  assert.deepEqual(
    [samples.map(({ uuid }) => uuid), lost.map(({ uuid }) => uuid)],
    [[PARTS[1]!.uuid], [PARTS[0]!.uuid]],
  );
});

withGpus("all MIG devices are lost with their card, and return with it", [DIVIDED, B], async ({ driver, stubs }) => {
  stubs.write([{ ...DIVIDED, state: "lost" }, B]);
  const { samples, lost } = await driver.sample();
  assert.deepEqual(
    samples.map(({ uuid }) => uuid),
    [B.uuid],
  );
  assert.deepEqual(
    lost.map(({ uuid }) => uuid),
    PARTS.map(({ uuid }) => uuid),
  );
  stubs.write([DIVIDED, B]);
  assert.equal((await sampleWhenBack(driver)).samples.length, 3);
});

withGpus("what still answers of a card that is lost is lost too", [DIVIDED], async ({ driver, stubs }) => {
  stubs.write([{ ...DIVIDED, state: "lost", mig: PARTS.map((part) => ({ ...part, state: 0 })) }]);
  const { samples, lost } = await driver.sample();
  assert.deepEqual([samples.length, lost.length], [0, 2]);
});

withGpus("a card that is divided into nothing is no GPU yet", [stubGpu(1, { mig: [] }), B], async ({ driver }) => {
  assert.deepEqual(
    (await driver.discover()).map(({ uuid }) => uuid),
    [B.uuid],
  );
  assert.equal((await driver.sample()).samples.length, 1);
});

// --- other drivers -----------------------------------------------------------------------------------------------

const TRACED = { ...SHARED, memoryReserved: 80 * MIB, clockReasons: 0x8 };

withVariant(
  "old",
  "a driver without the newer functions is asked by the older ones",
  [TRACED],
  async ({ driver, stubs }) => {
    const sample = await sampleOf(driver);
    assert.equal(sample.memoryUsed, 4400 * MIB, "the older function counts what is reserved as used");
    assert.deepEqual(sample.throttle, ["hw_slowdown"]);
    assert.equal(sample.processes!.find(({ pid }) => pid === 101)!.memory, 4000 * MIB);
    stubs.write([{ ...TRACED, events: [{ id: 1, xid: 31 }] }]);
    assert.deepEqual((await driver.sample()).events, [{ type: "xid", uuid: A.uuid, xid: 31 }]);
  },
);

const FIRST_PART = { ...DIVIDED, mig: [stubMig(0), stubMig(1)] };

withVariant(
  "old",
  "an old driver's events go to all MIG devices of a card",
  [FIRST_PART],
  async ({ driver, stubs }) => {
    stubs.write([{ ...FIRST_PART, events: [{ id: 1, xid: 31, gpuInstance: 0 }] }]);
    assert.deepEqual(
      (await driver.sample()).events.map(({ uuid }) => uuid),
      FIRST_PART.mig.map(({ uuid }) => uuid),
    );
  },
);

withVariant("r535", "the longer entries of early 535 drivers are read right", [SHARED], async ({ driver }) => {
  const { processes } = await sampleOf(driver);
  assert.deepEqual(
    processes!.map(({ pid, memory }) => [pid, memory]),
    [
      [101, 4000 * MIB],
      [102, 300 * MIB],
      [104, null],
      [103, 20 * MIB],
    ],
  );
});

for (const [code, meaning] of [
  [25, "does not know this version of the memory figures"],
  [999, "fails with the newer memory figures"],
] as const) {
  withGpus(`a driver that ${meaning} is asked for the older`, [BUSY], async ({ driver, stubs }) => {
    stubs.write([BUSY], { memoryV2Error: code });
    const { memoryUsed, memoryFree } = await sampleOf(driver);
    assert.deepEqual([memoryUsed, memoryFree], [4500, 5500]);
  });
}

test("a driver that refuses to start says why", async (t) => {
  const stubs = await stubsFor(t, [A], "current");
  if (stubs === null) return;
  stubs.write([A], { nvmlError: 18 });
  await assert.rejects(openNvml(stubs.nvml), { message: "NVML refused to start: Driver/library version mismatch" });
});

test("the driver is found where the system looks for libraries", async (t) => {
  const stubs = await stubsFor(t, [A], "current");
  if (stubs === null) return;
  const { code, stdout, stderr } = await runModule(OPEN, stubs.environment);
  assert.deepEqual([code, stdout.trim()], [0, A.uuid], stderr);
});

test("without koffi the refusal says what is missing", async () => {
  const { stderr } = await runModule(OPEN, WITHOUT_KOFFI);
  assert.match(stderr, /NVML needs the optional package koffi, which could not be loaded \(/);
});

test("a driver that is not there is named with the reason", async () => {
  await assert.rejects(openNvml("/nonexistent/libnvidia-ml.so.1"), {
    message: /^NVML could not be loaded \(\/nonexistent\/libnvidia-ml\.so\.1: .+\)$/,
  });
});

test("a library that is not NVML is refused", async (t) => {
  const stubs = await stubsFor(t, [A], "current");
  if (stubs === null) return;
  await assert.rejects(openNvml(stubs.cuda), /^Error: NVML could not be loaded/);
});
