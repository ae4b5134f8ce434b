/** Which devices serve, under which gpu_id. The machine is made up; what is remembered of it lies in a real folder. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { neededGlibc, systemLibrary, whyNoBuild } from "../src/engine/llama/no-build.ts";
import { SYSTEM } from "../src/common/system.ts";
import { DEMO_MODEL, type Device, findDevices } from "../src/gpu/inventory/devices.ts";
import { mayHold } from "../src/gpu/served.ts";
import { KnownGpus } from "../src/gpu/inventory/known-gpus.ts";
import { type Probe, probeLlama } from "../src/gpu/inventory/probe.ts";
import { type GpuSources } from "../src/gpu/inventory/survey.ts";
import { type GpuIdentity } from "../src/gpu/telemetry/telemetry.ts";
import { card, migDevice } from "./helpers/gpu-identities.ts";
import { newFolder } from "./helpers/server.ts";

/** What is configured where nothing is. */
const TUNING = { threads: null, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null };

const CUDA: Probe = { backend: "cuda", names: ["a", "b"], memoryTotal: 1, cudaFault: null };
const NOTHING: Probe = { backend: false, names: [], memoryTotal: 0, cudaFault: null };

/** The settings of a model, as the configuration has them. */
function modelOf(entry: string) {
  return parseConfig(`models: [{ ${entry} }]`, "c.yaml").models[0]!;
}

function vulkan(...names: string[]): Probe {
  return { backend: "vulkan", names, memoryTotal: 8e9, cudaFault: null };
}

/** What a machine has at one start. */
interface Start {
  readonly gpus?: readonly GpuIdentity[];
  readonly probe?: Probe | null;
  readonly notes?: readonly string[];
  readonly silentDrivers?: readonly string[];
  readonly pciGpus?: GpuSources["pciGpus"];
  readonly environment?: NodeJS.ProcessEnv;
}

/** A machine that is started again and again. */
class Machine {
  readonly dataDir = mkdtempSync(join(tmpdir(), "alt-las-devices-"));
  readonly warnings: string[] = [];
  /** What llama.cpp was shown, each time it was asked. */
  readonly asked: Readonly<Record<string, string>>[] = [];

  constructor(t: TestContext) {
    t.after(() => rmSync(this.dataDir, { recursive: true }));
  }

  /** @param probe null: llama.cpp must not be asked */
  start(yaml: string, { gpus = [], probe = CUDA, notes = [], ...rest }: Start = {}): Promise<Device[]> {
    return findDevices(parseConfig(yaml, "c.yaml"), {
      found: { gpus, notes },
      silentDrivers: rest.silentDrivers ?? [],
      pciGpus: rest.pciGpus ?? [],
      environment: rest.environment ?? {},
      known: KnownGpus.open(this.dataDir),
      log: { warn: (sentence: string) => void this.warnings.push(sentence) },
      probe: (environment) => {
        assert.ok(probe !== null, "llama.cpp is asked");
        this.asked.push(environment);
        return Promise.resolve(probe);
      },
    });
  }
}

function start(t: TestContext, yaml: string, at?: Start): Promise<Device[]> {
  return new Machine(t).start(yaml, at);
}

const A = card("GPU-aaaa-1", "0000:01:00.0", { index: 0 });
const B = card("GPU-bbbb-1", "0000:02:00.0", { index: 1 });
const C = card("GPU-cccc-1", "0000:03:00.0", { index: 2 });
const TWO = { gpus: [A, B] };

function ids(devices: readonly Device[]): [number, string][] {
  return devices.map(({ id, uuids }) => [id, uuids.join("+")]);
}

test("a process that dies while it asks llama.cpp is told, and the CPU serves", async (t) => {
  const machine = new Machine(t);
  const devices = await machine.start("", { probe: { ...NOTHING, death: "signal SIGSEGV" } });
  assert.ok(devices.every(({ kind }) => kind === "cpu"));
  assert.equal(machine.warnings.length, 1);
  assert.match(machine.warnings[0]!, /^llama\.cpp could not say which GPUs .* ended with signal SIGSEGV, /);
});

test("where llama.cpp has no build, devices that need it say so at once, and no others take their place", async (t) => {
  const probe = { ...NOTHING, noBuild: "this system's C library is musl" };
  const words = "llama.cpp cannot be opened: this system's C library is musl.";
  const machine = new Machine(t);
  const allowed = await machine.start("gpu: { cpu_fallback: true }", { ...TWO, probe });
  assert.deepEqual(
    allowed.map(({ kind, unfit, mendedBy }) => [kind, unfit, mendedBy]),
    [
      ["gpu", words, null],
      ["gpu", words, null],
    ],
  );
  const cpus = await start(t, "", { probe });
  assert.deepEqual(
    cpus.map(({ kind, unfit }) => [kind, unfit]),
    cpus.map(() => ["cpu", words]),
  );
  const own = "{ gpu: { devices: [auto, { gpu: cpu:1, engine: { kind: llama-server, model: /m, binary: /b } }] } }";
  assert.equal((await start(t, own, { probe })).at(-1)!.unfit, null);
});

/** How a start is refused. */
async function refusal(t: TestContext, yaml: string, at: Start = {}): Promise<string> {
  const outcome = await start(t, yaml, at).catch((error: unknown) => error);
  assert.ok(outcome instanceof Error, "the start is refused");
  assert.equal((outcome as Error & { code?: string }).code, "bad_config");
  return outcome.message;
}

const CPUS: [number, string][] = [
  [0, "CPU-0"],
  [1, "CPU-1"],
];
const AUTO_CPUS = CPUS.slice(0, Math.min(2, availableParallelism()));

// --- all GPUs of the machine ---------------------------------------------------------------------------------------

test("auto is all GPUs in PCI bus order, whatever order the driver has, each with its own card's facts", async (t) => {
  const devices = await start(t, "", { gpus: [B, A] });
  assert.deepEqual(ids(devices), [
    [0, A.uuid],
    [1, B.uuid],
  ]);
  assert.deepEqual(devices[0], {
    id: 0,
    key: "GPU-aaaa-1",
    kind: "gpu",
    name: "Card GPU-aaaa-1",
    uuids: ["GPU-aaaa-1"],
    pciBusIds: ["0000:01:00.0"],
    vendor: "nvidia",
    backend: "cuda",
    memoryTotal: 24 * 2 ** 30,
    computeCapability: 8.6,
    maxTemperature: 93,
    environment: { CUDA_VISIBLE_DEVICES: "GPU-aaaa-1", CUDA_DEVICE_ORDER: "PCI_BUS_ID" },
    slots: 8,
    thresholds: { memory: 0.9, utilization: 0.95 },
    own: {},
    engine: {
      kind: "llama",
      model: DEMO_MODEL,
      context: null,
      minContext: 2048,
      raw: false,
      tuning: { ...TUNING, threads: null },
      binary: "llama-server",
      upstream: null,
      patience: { firstByte: 120, token: 30 },
    },
    unfit: null,
    mendedBy: null,
    demoOnly: false,
    lost: null,
  });
});

test("llama.cpp is shown the visible GPUs by their UUIDs, and only them", async (t) => {
  const machine = new Machine(t);
  await machine.start("", { gpus: [A, B, C], environment: { CUDA_VISIBLE_DEVICES: "2,0" } });
  assert.deepEqual(machine.asked, [{ CUDA_VISIBLE_DEVICES: "GPU-aaaa-1,GPU-cccc-1" }]);
});

test("MIG devices are GPUs of their own", async (t) => {
  const parts = [0, 1].map((index) => migDevice(`MIG-${index}`, A, index));
  const devices = await start(t, "", { gpus: [...parts, B] });
  assert.deepEqual(ids(devices), [
    [0, "MIG-0"],
    [1, "MIG-1"],
    [2, B.uuid],
  ]);
  assert.equal(devices[1]!.environment["CUDA_VISIBLE_DEVICES"], "MIG-1");
});

test("gpu.multi_gpu.enabled: false uses the first GPU only", async (t) => {
  assert.deepEqual(ids(await start(t, "gpu: { multi_gpu: { enabled: false } }", TWO)), [[0, A.uuid]]);
  const simulated = await start(t, "gpu: { devices: 'simulated:4', multi_gpu: { enabled: false } }");
  assert.deepEqual(ids(simulated), [[0, "SIMULATED-0"]]);
});

// --- over restarts -------------------------------------------------------------------------------------------------

test("a new card gets the next number, wherever it is on the bus, and the others keep theirs", async (t) => {
  const machine = new Machine(t);
  await machine.start("", { gpus: [B, C] });
  assert.deepEqual(ids(await machine.start("", { gpus: [A, B, C] })), [
    [0, B.uuid],
    [1, C.uuid],
    [2, A.uuid],
  ]);
});

test("a card that is gone is listed as lost under its number, with the way out, and serves again when it is back", async (t) => {
  const machine = new Machine(t);
  await machine.start("", { gpus: [A, B, C] });
  const devices = await machine.start("", { gpus: [A, C] });
  assert.deepEqual(ids(devices), [
    [0, A.uuid],
    [1, B.uuid],
    [2, C.uuid],
  ]);
  const [, gone] = devices;
  assert.equal(
    gone!.lost,
    "It was here at an earlier start and is not found now. If it is gone for good, delete gpus.json in the data directory to number the GPUs anew.",
  );
  assert.deepEqual([gone!.kind, gone!.name, gone!.memoryTotal, gone!.unfit], ["gpu", B.name, null, null]);
  assert.equal(gone!.environment["CUDA_VISIBLE_DEVICES"], B.uuid);
  const back = await machine.start("", { gpus: [A, B, C] });
  assert.ok(back.every(({ lost }) => lost === null));
});

test("a machine that has lost all its GPUs does not quietly serve from the CPU", async (t) => {
  const machine = new Machine(t);
  await machine.start("", TWO);
  const devices = await machine.start("", {
    probe: NOTHING,
    notes: ["NVML: the driver is not loaded.", "No AMD GPU."],
  });
  assert.deepEqual(ids(devices), [
    [0, A.uuid],
    [1, B.uuid],
  ]);
  assert.match(devices[0]!.lost!, /not found now: NVML: the driver is not loaded\. If it is gone for good/);
  const fallback = await machine.start("gpu: { cpu_fallback: true }", { probe: NOTHING });
  assert.deepEqual(
    ids(fallback).slice(2),
    AUTO_CPUS.map(([id, uuid]) => [id + 2, uuid]),
  );
});

test("a card that the driver lists no more but the PCI bus does is lost once, and says where it is", async (t) => {
  const machine = new Machine(t);
  await machine.start("", TWO);
  const pciGpus = [A, B].map(({ pciBusId }) => ({ busId: pciBusId, vendor: "nvidia", driver: "nvidia" }) as const);
  const devices = await machine.start("", { gpus: [A], pciGpus });
  assert.deepEqual(ids(devices), [
    [0, A.uuid],
    [1, B.uuid],
  ]);
  assert.match(
    devices[1]!.lost!,
    /^It was here at an earlier start\. It is on the PCI bus at 0000:02:00\.0, but NVIDIA's/,
  );
});

test("a card that was divided into MIG devices is not lost", async (t) => {
  const machine = new Machine(t);
  await machine.start("", { gpus: [A] });
  assert.deepEqual(ids(await machine.start("", { gpus: [migDevice("MIG-0", A, 0)] })), [[1, "MIG-0"]]);
});

test("entries that name a card that is gone, by number or UUID, are lost; the start is not refused", async (t) => {
  const machine = new Machine(t);
  await machine.start("", TWO);
  const devices = await machine.start("gpu: { devices: [GPU-bbbb, 0, 'gpu:1', { gpus: [0, 1] }] }", { gpus: [A] });
  assert.deepEqual(ids(devices), [
    [0, B.uuid],
    [1, A.uuid],
    [2, B.uuid],
    [3, `${A.uuid}+${B.uuid}`],
  ]);
  assert.deepEqual(
    devices.map(({ lost }) => lost !== null),
    [true, false, true, true],
  );
  assert.match(devices[3]!.lost!, /^Card GPU-bbbb-1 \(GPU-bbbb-1\): It was here/);
  assert.equal(devices[3]!.memoryTotal, null);
});

// --- CUDA_VISIBLE_DEVICES --------------------------------------------------------------------------------------------

test("CUDA_VISIBLE_DEVICES selects, and leaves the numbers as they are", async (t) => {
  const machine = new Machine(t);
  const hidden = await machine.start("", { gpus: [A, B, C], environment: { CUDA_VISIBLE_DEVICES: "2,GPU-bbbb" } });
  assert.deepEqual(ids(hidden), [
    [1, B.uuid],
    [2, C.uuid],
  ]);
  assert.deepEqual(ids(await machine.start("", { gpus: [A, B, C] })).length, 3);
});

test("a card that is gone is not listed where CUDA_VISIBLE_DEVICES would hide it anyway", async (t) => {
  const machine = new Machine(t);
  await machine.start("", TWO);
  const listed = async (value: string) =>
    ids(await machine.start("", { gpus: [A], environment: { CUDA_VISIBLE_DEVICES: value } })).map(([id]) => id);
  assert.deepEqual(await listed(A.uuid), [0]);
  assert.deepEqual(await listed("0"), [0]);
  assert.deepEqual(await listed(`${B.uuid},${A.uuid}`), [0, 1]);
});

test("an empty CUDA_VISIBLE_DEVICES means the CPU; one that names nothing is a mistake", async (t) => {
  const machine = new Machine(t);
  const none = { ...TWO, probe: NOTHING };
  assert.deepEqual(ids(await machine.start("", { ...none, environment: { CUDA_VISIBLE_DEVICES: "" } })), AUTO_CPUS);
  const wrong = { ...none, environment: { CUDA_VISIBLE_DEVICES: "7" } };
  assert.equal(
    await refusal(t, "", wrong),
    "gpu.devices finds no GPU: CUDA_VISIBLE_DEVICES names 7, which fits no GPU that is here; it hides what follows it. This machine has gpu:0 (Card GPU-aaaa-1, GPU-aaaa-1), gpu:1 (Card GPU-bbbb-1, GPU-bbbb-1).",
  );
  assert.deepEqual(ids(await machine.start("gpu: { cpu_fallback: true }", wrong)), AUTO_CPUS);
  assert.match(machine.warnings[0]!, /^CUDA_VISIBLE_DEVICES names 7/);
});

test("an entry that names a hidden GPU is refused with the variable that hides it", async (t) => {
  const at = { ...TWO, environment: { CUDA_VISIBLE_DEVICES: "0" } };
  assert.match(await refusal(t, "gpu: { devices: [0, 1] }", at), /^gpu\.devices\[1\] names gpu:1, which CUDA_VISIBLE_/);
});

// --- GPUs that cannot serve ------------------------------------------------------------------------------------------

test("GPUs that lack a package are listed with the command that brings it; for the demo model CPU devices stand in, with ids behind theirs", async (t) => {
  const cudaFault = "libcublas.so.13: cannot open shared object file";
  for (const probe of [NOTHING, { ...NOTHING, cudaFault }]) {
    const devices = await start(t, "", { ...TWO, probe });
    assert.deepEqual(ids(devices), [[0, A.uuid], [1, B.uuid], ...AUTO_CPUS.map(([id, uuid]) => [id + 2, uuid])]);
    for (const { unfit, mendedBy } of devices.slice(0, 2)) {
      assert.match(
        unfit!,
        /^Not used yet: llama\.cpp could open nothing but the CPU here, not CUDA.* Run "npm run add-gpu cuda"/,
      );
      assert.equal(mendedBy, "npm run add-gpu cuda");
    }
    assert.ok(devices.slice(2).every(({ unfit, mendedBy }) => unfit === null && mendedBy === null));
    // What was pulled is somebody's own, too.
    const pulled = modelOf("name: pulled, source: mine.gguf");
    assert.deepEqual(
      devices.map((device) => mayHold(device, pulled)),
      devices.map(({ kind }) => kind === "gpu"),
    );
    const [allowed] = await start(t, "gpu: { devices: 'cpu:1' }", { probe: null });
    assert.ok(mayHold(allowed!, pulled));
  }
});

test("no CPU takes the place of a GPU that lacks a package where a model, a GPU or no CPU was chosen, or the GPU lacks more", async (t) => {
  const chosen = ["engine: { model: mine.gguf }", "gpu: { devices: [0, 1] }", "gpu: { cpu_fallback: false }"];
  const alone = [
    [0, A.uuid],
    [1, B.uuid],
  ];
  for (const yaml of chosen) assert.deepEqual(ids(await start(t, yaml, { ...TWO, probe: NOTHING })), alone);
  const old = { gpus: [card("GPU-old", "0000:00:01.0", { computeCapability: 5.2 })], probe: NOTHING };
  const [device, ...others] = await start(t, "", old);
  assert.deepEqual([device!.mendedBy, others], [null, []]);
});

test("an NVIDIA GPU that llama.cpp cannot use says why", async (t) => {
  const [device] = await start(t, "engine: { model: mine.gguf }", { ...TWO, probe: NOTHING });
  assert.match(
    device!.unfit!,
    /^Not used yet: llama\.cpp could open nothing but the CPU here, not CUDA\. Run "npm run add-gpu cuda" to .*; to serve from the CPU all the same, set gpu\.cpu_fallback/,
  );
  assert.match((await start(t, "", { ...TWO, probe: vulkan("NVIDIA L4") }))[0]!.unfit!, /could open vulkan here/);
  const probe = { ...NOTHING, cudaFault: "libcublas.so.13: cannot open shared object file" };
  const [{ unfit }] = (await start(t, "", { ...TWO, probe })) as [Device];
  assert.match(
    unfit!,
    /^Not used yet: llama\.cpp .* not CUDA: its CUDA package cannot be loaded \(libcublas\.so\.13: .*\)\. Run "npm run add-gpu cuda", which brings/,
  );
});

test("with gpu.cpu_fallback: true CPU devices serve after GPUs of which none can, and not beside one that can", async (t) => {
  const yaml = "gpu: { cpu_fallback: true }";
  assert.deepEqual(ids(await start(t, yaml, { ...TWO, probe: NOTHING })), [
    [0, A.uuid],
    [1, B.uuid],
    ...AUTO_CPUS.map(([id, uuid]) => [id + 2, uuid]),
  ]);
  const old = card("GPU-old", "0000:00:01.0", { computeCapability: 5.2 });
  assert.deepEqual(ids(await start(t, yaml, { gpus: [A, old] })), [
    [0, "GPU-old"],
    [1, A.uuid],
  ]);
  const one = await start(t, "gpu: { cpu_fallback: true, multi_gpu: { enabled: false } }", { ...TWO, probe: NOTHING });
  assert.deepEqual(ids(one), [
    [0, A.uuid],
    [1, "CPU-0"],
  ]);
});

test("a GPU below gpu.min_compute_capability is unfit, with both numbers; a group is as its worst member", async (t) => {
  const pascal = card("GPU-pascal", "0000:04:00.0", { computeCapability: 6.1, slowdownTemperature: 90 });
  const gpus = [A, pascal];
  const [, alone] = await start(t, "", { gpus });
  const sentence = "Its CUDA compute capability is 6.1, below the 7.0 of gpu.min_compute_capability.";
  assert.equal(alone!.unfit, sentence);
  const [group] = await start(t, "gpu: { devices: { gpus: [0, 1] } }", { gpus });
  assert.equal(group!.unfit, `Card GPU-pascal (GPU-pascal): ${sentence}`);
  assert.deepEqual([group!.computeCapability, group!.maxTemperature], [6.1, 88]);
  assert.equal((await start(t, "gpu: { min_compute_capability: 6.1 }", { gpus }))[1]!.unfit, null);
});

const ON_THE_BUS = { busId: "0000:65:00.0", vendor: "nvidia", driver: null } as const;

test("an NVIDIA card on the PCI bus without a driver is listed as unfit, with what is missing, and no CPU serves", async (t) => {
  const at = { probe: NOTHING, pciGpus: [ON_THE_BUS], notes: ["NVML: libnvidia-ml.so.1 cannot be opened."] };
  const devices = await start(t, "", at);
  assert.deepEqual(ids(devices), [[0, "PCI-0000:65:00.0"]]);
  assert.deepEqual([devices[0]!.name, devices[0]!.pciBusIds], ["NVIDIA GPU at 0000:65:00.0", ["0000:65:00.0"]]);
  assert.match(
    devices[0]!.unfit!,
    /lists neither it nor MIG devices on it \(the kernel has no driver for it\): NVML: libnvidia-ml\.so\.1 cannot be opened\. Once nvidia-smi lists it, start again; to serve from the CPU/,
  );
  assert.equal(devices[0]!.environment["CUDA_VISIBLE_DEVICES"], "");
});

test("a card on the bus beside listed ones comes after them, and is not remembered", async (t) => {
  const machine = new Machine(t);
  const devices = await machine.start("", { gpus: [A], pciGpus: [ON_THE_BUS, { ...ON_THE_BUS, busId: A.pciBusId }] });
  assert.deepEqual(ids(devices), [
    [0, A.uuid],
    [1, "PCI-0000:65:00.0"],
  ]);
  assert.deepEqual(ids(await machine.start("", { gpus: [A] })), [[0, A.uuid]]);
});

const NOT_OURS: readonly (readonly [string, Start])[] = [
  ["is given to a virtual machine", { pciGpus: [{ ...ON_THE_BUS, driver: "vfio-pci" }] }],
  ["is another vendor's", { pciGpus: [{ ...ON_THE_BUS, vendor: "intel" }] }],
  ["was not handed into this container", { pciGpus: [ON_THE_BUS], environment: { NVIDIA_VISIBLE_DEVICES: A.uuid } }],
  ["was not asked for", { pciGpus: [ON_THE_BUS], environment: { CUDA_VISIBLE_DEVICES: "0" } }],
];

for (const [what, at] of NOT_OURS) {
  test(`a card on the PCI bus that ${what} is not listed`, async (t) => {
    assert.deepEqual(ids(await start(t, "", { gpus: [A], ...at })), [[0, A.uuid]]);
  });
}

// --- no GPU at all ---------------------------------------------------------------------------------------------------

test("a machine without a GPU serves from CPU devices, unless gpu.cpu_fallback is false", async (t) => {
  assert.deepEqual(ids(await start(t, "", { probe: NOTHING })), AUTO_CPUS);
  assert.equal(
    await refusal(t, "gpu: { cpu_fallback: false }", { probe: NOTHING }),
    "gpu.cpu_fallback is false, and there is no GPU to use (this machine has no GPU). Start with --devices cpu:2 to serve from the CPU.",
  );
});

test("a driver that is installed and does not answer is not said to be no GPU", async (t) => {
  const silentDrivers = ["nvidia-smi lists no GPU: Failed to initialize NVML."];
  const at = { probe: NOTHING, silentDrivers };
  assert.equal(
    await refusal(t, "gpu: { cpu_fallback: false }", at),
    "gpu.cpu_fallback is false, and there is no GPU to use (this machine has a GPU driver that lists no GPU: nvidia-smi lists no GPU: Failed to initialize NVML). Start with --devices cpu:2 to serve from the CPU.",
  );
});

test("gpu.enabled: false serves from CPU devices and looks at no GPU", async (t) => {
  const machine = new Machine(t);
  const yaml = "gpu: { enabled: false, cpu_fallback: false }";
  assert.deepEqual(ids(await machine.start(yaml, { ...TWO, probe: null })), AUTO_CPUS);
  assert.ok(!existsSync(join(machine.dataDir, "gpus.json")));
});

test("a CPU device is told apart from GPUs by its worker too", async (t) => {
  const [device] = await start(t, "gpu: { devices: 'cpu:1' }", { ...TWO, probe: null });
  assert.deepEqual([device!.kind, device!.vendor, device!.backend], ["cpu", "cpu", false]);
  assert.deepEqual([device!.environment, device!.pciBusIds], [{ CUDA_VISIBLE_DEVICES: "" }, []]);
  assert.deepEqual([device!.maxTemperature, device!.computeCapability], [null, null]);
  assert.ok(device!.memoryTotal! > 0);
});

// --- AMD and others --------------------------------------------------------------------------------------------------

const RADEON = card("AMD-1234abcd", "0000:05:00.0", { vendor: "amd", index: 0, slowdownTemperature: 100 });
const VEGA = card("AMD-0000:06:00.0", "0000:06:00.0", { vendor: "amd", index: 1, slowdownTemperature: null });

test("AMD GPUs are matched with Vulkan's devices by order where their numbers agree", async (t) => {
  const probe = vulkan("Intel Arc", "AMD Radeon RX 7900", "AMD Radeon VII");
  const devices = await start(t, "", { gpus: [RADEON, VEGA], probe });
  assert.deepEqual(
    devices.map(({ id, vendor, backend, uuids, environment }) => [id, vendor, backend, uuids[0], environment]),
    [
      [0, "amd", "vulkan", "AMD-1234abcd", { ROCR_VISIBLE_DEVICES: "GPU-1234abcd", GGML_VK_VISIBLE_DEVICES: "1" }],
      [1, "amd", "vulkan", "AMD-0000:06:00.0", { ROCR_VISIBLE_DEVICES: "1", GGML_VK_VISIBLE_DEVICES: "2" }],
      [2, "other", "vulkan", "vulkan-0", { GGML_VK_VISIBLE_DEVICES: "0" }],
    ],
  );
  assert.deepEqual(
    devices.map(({ maxTemperature }) => maxTemperature),
    [98, 85, 85],
  );
});

test("AMD GPUs that cannot be matched serve without their driver's figures", async (t) => {
  const devices = await start(t, "", { gpus: [RADEON, VEGA], probe: vulkan("AMD Radeon RX 7900") });
  assert.deepEqual(
    devices.map(({ vendor, uuids, memoryTotal, unfit }) => [vendor, uuids[0], memoryTotal, unfit]),
    [["other", "vulkan-0", 8e9, null]],
  );
});

test("HIP_VISIBLE_DEVICES hides AMD GPUs, and a list of the server's own for Vulkan is kept", async (t) => {
  const probe = vulkan("AMD Radeon RX 7900", "AMD Radeon VII");
  const environment = { HIP_VISIBLE_DEVICES: "1", GGML_VK_VISIBLE_DEVICES: "3,5" };
  const [device, ...rest] = await start(t, "", { gpus: [RADEON, VEGA], probe, environment });
  assert.deepEqual([device!.id, device!.environment["GGML_VK_VISIBLE_DEVICES"], rest], [1, "5", []]);
});

test("an AMD GPU that llama.cpp never could open leaves the CPU to serve, with a warning; by name it says why", async (t) => {
  const machine = new Machine(t);
  const at = { gpus: [RADEON], probe: NOTHING };
  assert.deepEqual(ids(await machine.start("", at)), AUTO_CPUS);
  assert.match(machine.warnings[0]!, /^Card AMD-1234abcd \(AMD-1234abcd\): Not used yet: .*npm run add-gpu vulkan/);
  const [named] = await machine.start("gpu: { devices: AMD-1234 }", at);
  assert.match(named!.unfit!, /not Vulkan\. Run "npm run add-gpu vulkan"/);
});

test("an AMD GPU that has served before is not replaced by the CPU in silence", async (t) => {
  const machine = new Machine(t);
  await machine.start("", { gpus: [RADEON], probe: vulkan("AMD Radeon RX 7900") });
  const own = "engine: { model: mine.gguf }";
  const [device, ...rest] = await machine.start(own, { gpus: [RADEON], probe: NOTHING });
  assert.deepEqual([device!.uuids[0], rest], [RADEON.uuid, []]);
  assert.match(device!.unfit!, /not Vulkan/);
  assert.equal((await machine.start("", { gpus: [RADEON], probe: NOTHING }))[0]!.mendedBy, "npm run add-gpu vulkan");
});

test("GPUs that only llama.cpp knows serve as it tells them", async (t) => {
  const metal = { backend: "metal", names: ["Apple M4"], memoryTotal: 32e9, cudaFault: null } as const;
  const [mac] = await start(t, "", { probe: metal });
  assert.deepEqual([mac!.uuids, mac!.vendor, mac!.backend, mac!.memoryTotal], [["metal-0"], "other", "metal", 32e9]);
  assert.deepEqual([mac!.environment, mac!.pciBusIds], [{}, []]);
  // CUDA without NVML, as on Jetson.
  const jetson = await start(t, "", { probe: CUDA, pciGpus: [ON_THE_BUS] });
  assert.deepEqual(
    jetson.map(({ vendor, environment }) => [vendor, environment["CUDA_VISIBLE_DEVICES"]]),
    [
      ["other", "0"],
      ["other", "1"],
    ],
  );
});

// --- a list of devices -----------------------------------------------------------------------------------------------

test("with a list the gpu_id is the position there, whatever the number of the GPU", async (t) => {
  const machine = new Machine(t);
  const devices = await machine.start("gpu: { devices: [GPU-cc, 'gpu:0', 'cpu:2', 1] }", { gpus: [A, B, C] });
  assert.deepEqual(ids(devices), [
    [0, C.uuid],
    [1, A.uuid],
    [2, "CPU-0"],
    [3, "CPU-1"],
    [4, B.uuid],
  ]);
  assert.deepEqual(ids(await machine.start("gpu: { devices: 2 }", { gpus: [A, B, C] })), [[0, C.uuid]]);
});

test("settings of an entry replace those of all devices, for that entry only", async (t) => {
  const yaml = `
gpu:
  max_temperature: 70
  devices:
    - { gpu: 0, name: fast, slots: 16, memory_threshold: 0.5, utilization_threshold: 0.4, max_temperature: 80,
        engine: { model: big.gguf, context: 4096, min_context: 512, threads: 3 } }
    - 1
engine: { model: small.gguf, context: 1024, threads: 2 }`;
  const [fast, plain] = await start(t, yaml, TWO);
  assert.deepEqual([fast!.name, fast!.slots, fast!.maxTemperature], ["fast", 16, 80]);
  assert.deepEqual(fast!.thresholds, { memory: 0.5, utilization: 0.4 });
  assert.deepEqual(fast!.engine, {
    kind: "llama",
    model: "big.gguf",
    context: 4096,
    minContext: 512,
    raw: false,
    tuning: { ...TUNING, threads: 3 },
    binary: "llama-server",
    upstream: null,
    patience: { firstByte: 120, token: 30 },
  });
  assert.deepEqual([plain!.name, plain!.slots, plain!.maxTemperature], [B.name, 8, 70]);
  assert.deepEqual(plain!.thresholds, { memory: 0.9, utilization: 0.95 });
  assert.deepEqual(plain!.engine, {
    kind: "llama",
    model: "small.gguf",
    context: 1024,
    minContext: 1024,
    raw: false,
    tuning: { ...TUNING, threads: 2 },
    binary: "llama-server",
    upstream: null,
    patience: { firstByte: 120, token: 30 },
  });
});

test("a group is one device with several UUIDs, its memory summed", async (t) => {
  const other = card("GPU-dddd", "0000:04:00.0", { name: "NVIDIA L4", memoryTotal: 10, computeCapability: 8.9 });
  const yaml = "gpu: { devices: [{ gpus: [1, 'gpu:0'] }, { gpus: [0, GPU-dddd], name: both }] }";
  const twins = [A, B].map((gpu) => ({ ...gpu, name: "NVIDIA A100", memoryTotal: 100 }));
  const [pair, both] = await start(t, yaml, { gpus: [...twins, other] });
  assert.deepEqual(
    [pair!.uuids, pair!.pciBusIds],
    [
      [B.uuid, A.uuid],
      ["0000:02:00.0", "0000:01:00.0"],
    ],
  );
  assert.deepEqual([pair!.name, pair!.memoryTotal, pair!.key], ["2 × NVIDIA A100", 200, `${B.uuid},${A.uuid}`]);
  assert.deepEqual(pair!.environment, {
    CUDA_VISIBLE_DEVICES: `${B.uuid},${A.uuid}`,
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
  });
  assert.deepEqual([both!.name, both!.memoryTotal, both!.computeCapability], ["both", 110, 8.6]);
});

test("a group of AMD GPUs has each of its variables as a list", async (t) => {
  const probe = vulkan("AMD Radeon RX 7900", "AMD Radeon VII");
  const [group] = await start(t, "gpu: { devices: { gpus: [0, 1] } }", { gpus: [RADEON, VEGA], probe });
  assert.deepEqual(group!.environment, {
    ROCR_VISIBLE_DEVICES: "GPU-1234abcd,1",
    GGML_VK_VISIBLE_DEVICES: "0,1",
  });
});

test("two workers on one card are two devices, which an operator can drain apart", async (t) => {
  const devices = await start(t, "gpu: { devices: [0, { gpu: GPU-aaaa, name: second }] }", { gpus: [A] });
  assert.deepEqual(
    devices.map(({ id, key, name, uuids }) => [id, key, name, uuids]),
    [
      [0, A.uuid, A.name, [A.uuid]],
      [1, `${A.uuid}#2`, "second", [A.uuid]],
    ],
  );
});

test("stand-ins of several entries are devices of their own, with numbers behind a name they share", async (t) => {
  const yaml =
    "gpu: { devices: ['cpu:1', { gpu: 'cpu:2', name: slow }, 'simulated:1', { gpu: 'simulated:1', name: toy }] }";
  const devices = await start(t, yaml, { probe: null });
  assert.deepEqual(
    devices.map(({ key }) => key),
    ["CPU-0", "CPU-1", "CPU-2", "SIMULATED-0", "SIMULATED-1"],
  );
  assert.match(devices[0]!.name, /^CPU device 0 \(/);
  assert.deepEqual(
    devices.slice(1).map(({ name }) => name),
    ["slow 0", "slow 1", "Simulated device 0", "toy"],
  );
  assert.deepEqual(
    devices.map(({ engine }) => engine.kind),
    ["llama", "llama", "llama", "simulated", "simulated"],
  );
});

test("with the simulated engine auto is two simulated devices", async (t) => {
  const devices = await start(t, "engine: { kind: simulated }", { ...TWO, probe: null });
  assert.deepEqual(ids(devices), [
    [0, "SIMULATED-0"],
    [1, "SIMULATED-1"],
  ]);
});

test("the simulated engine runs on real GPUs where they are named, and llama.cpp is not asked", async (t) => {
  const yaml = "{ engine: { kind: simulated }, gpu: { devices: [0, GPU-bbbb, AMD-12] } }";
  const devices = await start(t, yaml, { gpus: [A, B, RADEON], probe: null });
  assert.deepEqual(
    devices.map(({ kind, vendor, engine, unfit }) => [kind, vendor, engine.kind, unfit]),
    [
      ["gpu", "nvidia", "simulated", null],
      ["gpu", "nvidia", "simulated", null],
      ["gpu", "amd", "simulated", null],
    ],
  );
});

test("one entry may have the simulated engine beside others that compute", async (t) => {
  const yaml = "gpu: { devices: [0, { gpu: 1, engine: { kind: simulated } }] }";
  const devices = await start(t, yaml, { ...TWO, probe: NOTHING });
  assert.deepEqual(
    devices.map(({ unfit }) => unfit === null),
    [false, true],
  );
});

const ELSEWHERE = "engine: { kind: openai, url: [http://a:8000, 'https://b/llm/v1/'], api_key: k, model: m }";

test("with the engine openai, auto is one device for each server, and no driver is asked", async (t) => {
  const yaml = `{ ${ELSEWHERE}, gpu: { enabled: false } }`;
  const devices = await start(t, yaml, { ...TWO, probe: null });
  assert.deepEqual(
    devices.map(({ id, kind, vendor, name, uuids, engine, unfit }) => [
      id,
      kind,
      vendor,
      name,
      uuids,
      engine.upstream,
      unfit,
    ]),
    [
      [0, "remote", "remote", "a:8000", ["REMOTE-http://a:8000"], { url: "http://a:8000", apiKey: "k" }, null],
      [1, "remote", "remote", "b", ["REMOTE-https://b/llm"], { url: "https://b/llm/v1/", apiKey: "k" }, null],
    ],
  );
  const [{ engine, thresholds, memoryTotal, maxTemperature, pciBusIds }] = devices as [Device];
  assert.deepEqual(
    [engine.kind, engine.model, memoryTotal, maxTemperature, pciBusIds],
    ["openai", "m", null, null, []],
  );
  // However much others use it, it is not shut: it says itself when it has no room.
  assert.deepEqual(thresholds, { memory: 1, utilization: 1 });
});

test("a server stands in the list beside GPUs, with settings of its own", async (t) => {
  const server =
    "{ name: far, slots: 16, utilization_threshold: 0.5, engine: { kind: openai, url: http://a:8000, token_timeout: 5 } }";
  const yaml = `{ engine: { model: here.gguf }, gpu: { devices: [0, ${server}, ${server}, 'simulated:1'] } }`;
  const devices = await start(t, yaml, TWO);
  assert.deepEqual(
    devices.map(({ id, kind, key, name, slots }) => [id, kind, key, name, slots]),
    [
      [0, "gpu", "GPU-aaaa-1", "Card GPU-aaaa-1", 8],
      [1, "remote", "REMOTE-http://a:8000", "far", 16],
      [2, "remote", "REMOTE-http://a:8000#2", "far", 16],
      [3, "simulated", "SIMULATED-0", "Simulated device 0", 8],
    ],
  );
  // The file of the others is no model's name there.
  assert.deepEqual([devices[0]!.engine.model, devices[1]!.engine.model], ["here.gguf", ""]);
  assert.deepEqual([devices[1]!.engine.upstream!.apiKey, devices[1]!.thresholds.utilization], [null, 0.5]);
  assert.deepEqual(
    [devices[1]!.engine.patience, devices[0]!.engine.patience.token],
    [{ firstByte: 120, token: 5 }, 30],
  );
});

test("a device that computes here does not take the model of the servers for a file", async (t) => {
  const yaml = `{ ${ELSEWHERE}, gpu: { devices: [{ gpu: 'cpu:1', engine: { kind: llama } }, { name: s, engine: { kind: openai } }] } }`;
  const devices = await start(t, yaml, { probe: null });
  assert.deepEqual(
    devices.map(({ kind, name, engine }) => [kind, name, engine.model]),
    [
      ["cpu", devices[0]!.name, DEMO_MODEL],
      ["remote", "s 0", "m"],
      ["remote", "s 1", "m"],
    ],
  );
});

test("an address that cannot be used costs its own device only, and its credentials are not shown", async (t) => {
  const urls = ["ftp://a", "a:8000", "nonsense", "http://me:secret@a", "http://a/?x=1", "http://a"];
  const devices = await start(t, `engine: { kind: openai, url: ${JSON.stringify(urls)} }`, { probe: null });
  assert.deepEqual(
    devices.map(({ unfit }) => unfit),
    [
      'Its address "ftp://a" does not begin with http:// or https://.',
      'Its address "a:8000" does not begin with http:// or https://.',
      'Its address "nonsense" is not a URL; it should be like http://10.0.0.5:8000.',
      'Its address "http://a" carries credentials; a key belongs into engine.api_key.',
      'Its address "http://a/?x=1" should end before "?" or "#".',
      null,
    ],
  );
  const shown = devices.map(({ name, uuids, key, unfit }) => JSON.stringify([name, uuids, key, unfit])).join();
  assert.doesNotMatch(shown, /secret/);
});

test("no CPU takes the place of servers", async (t) => {
  const yaml = "{ engine: { kind: openai, url: 'ftp://a' }, gpu: { cpu_fallback: true } }";
  assert.deepEqual(ids(await start(t, yaml, { probe: null })), [[0, "REMOTE-ftp://a"]]);
});

test("auto with llama-server is this machine's GPUs, and llama.cpp is not asked what it can open", async (t) => {
  const devices = await start(t, "engine: { kind: llama-server }", { ...TWO, probe: null });
  assert.deepEqual(ids(devices), [
    [0, "GPU-aaaa-1"],
    [1, "GPU-bbbb-1"],
  ]);
});

const HERE = "this machine has gpu:0 (Card GPU-aaaa-1, GPU-aaaa-1), gpu:1 (Card GPU-bbbb-1, GPU-bbbb-1).";
const TWIN = card("GPU-aaaa-2", "0000:07:00.0");
const REFUSED: readonly (readonly [string, string, Start, string])[] = [
  [
    "a number that no GPU has",
    "gpu: { devices: 'gpu:5' }",
    TWO,
    `gpu.devices names gpu:5, which is not there; ${HERE}`,
  ],
  ["an unknown UUID", "gpu: { devices: [0, GPU-f] }", TWO, `gpu.devices[1] names GPU-f, which is not there; ${HERE}`],
  [
    "a GPU where there is none",
    "gpu: { devices: 0 }",
    { probe: NOTHING },
    "gpu.devices names gpu:0, which is not there; this machine has no GPU.",
  ],
  [
    "digits that fit several GPUs",
    "gpu: { devices: GPU-aaaa }",
    { gpus: [A, TWIN] },
    "gpu.devices names GPU-aaaa, which fits several GPUs: gpu:0 (Card GPU-aaaa-1, GPU-aaaa-1), gpu:1 (Card GPU-aaaa-2, GPU-aaaa-2).",
  ],
  [
    "a group with a GPU twice",
    "gpu: { devices: [{ gpus: [0, GPU-aaaa] }] }",
    TWO,
    "gpu.devices[0] names Card GPU-aaaa-1 (GPU-aaaa-1) twice.",
  ],
  [
    "a group of two vendors",
    "{ engine: { kind: simulated }, gpu: { devices: [{ gpus: [0, 1] }] } }",
    { gpus: [A, RADEON] },
    "gpu.devices[0] joins GPUs for cuda and vulkan, which cannot hold one model together.",
  ],
  [
    "a group with a MIG device",
    "gpu: { devices: [{ gpus: [0, 1] }] }",
    { gpus: [migDevice("MIG-0", A, 0), migDevice("MIG-1", A, 1)] },
    "gpu.devices[0] joins MIG-0 with others, but a process can use only one MIG device.",
  ],
];

for (const [what, yaml, at, sentence] of REFUSED) {
  test(`gpu.devices refuses ${what}`, async (t) => {
    assert.equal(await refusal(t, yaml, at), sentence);
  });
}

test("llama.cpp is asked in a process of its own, and names the GPUs it can open", async () => {
  const { backend, names, memoryTotal } = await probeLlama({ CUDA_VISIBLE_DEVICES: "" });
  assert.equal(names.length > 0, backend !== false);
  assert.equal(memoryTotal > 0, backend !== false);
});

/** A build whose libraries want these symbols. */
function build(t: TestContext, ...symbols: readonly string[]): string {
  const folder = newFolder(t);
  const names = ["llama-addon.node", "libllama.so"];
  for (const [index, name] of names.entries()) writeFileSync(join(folder, name), `\0${symbols[index] ?? ""}\0rest`);
  writeFileSync(join(folder, "metadata.json"), "GLIBC_9.99\0");
  return folder;
}

const GLIBC = { name: "glibc", version: "2.31" } as const;

test("musl is named, whatever is installed", (t) => {
  for (const folder of [null, build(t)])
    assert.match(
      whyNoBuild({ name: "musl", version: null }, folder),
      /^this system's C library is musl, as on Alpine, .* use a system with glibc, .* engine\.kind: llama-server/,
    );
});

test("a glibc that is too old is told with the one that is needed, compared as numbers", (t) => {
  const folder = build(t, "GLIBC_2.4", "GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE");
  assert.equal(neededGlibc(folder), "2.34");
  assert.match(
    whyNoBuild(GLIBC, folder),
    /^this system's glibc is 2\.31, and the build of it that npm has needs 2\.34 or later; use a newer system, or/,
  );
  assert.doesNotMatch(whyNoBuild({ ...GLIBC, version: "2.100" }, folder), /glibc is/);
});

test("a package that was left out, and a library that cannot be loaded, are told apart", (t) => {
  assert.match(whyNoBuild(GLIBC, null), /^npm has installed no build of it for \S+-\S+; .* npm i --include=optional/);
  assert.match(whyNoBuild(GLIBC, build(t, "GLIBC_2.2")), /does not run on this machine \(.*llama-addon\.node.*\);/);
  assert.equal(neededGlibc(build(t)), null);
});

test(
  "the C library of this machine is known",
  { skip: SYSTEM.platform === "linux" ? false : "only Linux has several" },
  () => {
    const { name, version } = systemLibrary();
    assert.notEqual(name, "other");
    if (name === "glibc") assert.match(version!, /^2\.\d+$/);
  },
);
