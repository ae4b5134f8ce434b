/** What telemetry makes of what the vendors' tools say. nvidia-smi is a stand-in script that prints what a real one printed. */
import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseConfig } from "../src/config.ts";
import { findDevices } from "../src/gpu/devices.ts";
import { CpuTelemetry } from "../src/gpu/telemetry/cpu.ts";
import { findNvidiaGpus, NvidiaTelemetry } from "../src/gpu/telemetry/nvidia.ts";
import { type Usage } from "../src/gpu/worker.ts";

const MIB = 1024 * 1024;

/** Puts an nvidia-smi onto the PATH that answers each query by its first field. */
async function withNvidiaSmi(t: TestContext, answers: Readonly<Record<string, string>>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "alt-las-smi-"));
  const cases = Object.entries(answers).map(
    ([query, lines]) => `  --query-${query}*) cat <<'END'\n${lines}\nEND\n  ;;`,
  );
  const script = `#!/bin/sh\ncase "$1" in\n${cases.join("\n")}\n  *) exit 2 ;;\nesac\n`;
  await writeFile(join(folder, "nvidia-smi"), script);
  await chmod(join(folder, "nvidia-smi"), 0o755);
  const path = process.env["PATH"];
  process.env["PATH"] = `${folder}:${path}`;
  t.after(async () => {
    process.env["PATH"] = path;
    await rm(folder, { recursive: true });
  });
}

const LIST = "00000000:41:00.0, GPU-bbb, NVIDIA A100-SXM4-40GB, 40960\n00000000:07:00.0, GPU-aaa, NVIDIA H100, 81559";

function usage(pid: number, at = 0, cpuSeconds = 0): Usage {
  return { pid, at, cpuSeconds, residentBytes: 100 * MIB };
}

test("NVIDIA GPUs are numbered in PCI bus order, whatever order the driver lists them in", async (t) => {
  await withNvidiaSmi(t, { "gpu=pci.bus_id": LIST });
  assert.deepEqual(await findNvidiaGpus(), [
    { uuid: "GPU-aaa", name: "NVIDIA H100", memoryTotal: 81_559 * MIB },
    { uuid: "GPU-bbb", name: "NVIDIA A100-SXM4-40GB", memoryTotal: 40_960 * MIB },
  ]);
});

test("without a driver there are no NVIDIA GPUs", async (t) => {
  const path = process.env["PATH"];
  process.env["PATH"] = "";
  t.after(() => (process.env["PATH"] = path));
  assert.deepEqual(await findNvidiaGpus(), []);
});

test("others are all processes but our worker", async (t) => {
  await withNvidiaSmi(t, {
    "gpu=uuid": "GPU-aaa, 97, 30000, 80000, 50000",
    "compute-apps=": "GPU-aaa, 111, 20000\nGPU-aaa, 222, 9000",
  });
  const telemetry = new NvidiaTelemetry();
  const readings = await telemetry.sample([{ uuid: "GPU-aaa", usage: usage(111), loaded: true, idleFor: 0 }]);
  assert.deepEqual(readings.get("GPU-aaa"), {
    utilization: 97,
    memoryUsed: 30_000 * MIB,
    memoryTotal: 80_000 * MIB,
    memoryFree: 50_000 * MIB,
    othersMemory: 0.125,
    othersUtilization: 0,
  });
});

test("where the driver hides processes, ours is what the memory grew by while it loaded, and the rest is others'", async (t) => {
  const telemetry = new NvidiaTelemetry();
  const others = async (used: number, report: Usage | null, loaded: boolean): Promise<number | undefined> => {
    await withNvidiaSmi(t, { "gpu=uuid": `GPU-aaa, 0, ${used}, 80000, 0`, "compute-apps=": "" });
    return (await telemetry.sample([{ uuid: "GPU-aaa", usage: report, loaded, idleFor: 0 }])).get("GPU-aaa")
      ?.othersMemory;
  };
  assert.equal(await others(4000, null, false), 0.05, "before our worker");
  assert.equal(await others(16_000, usage(111), false), 0.05, "while it loads");
  assert.equal(await others(36_000, usage(111), true), 0.05, "when it has loaded");
  assert.equal(await others(76_000, usage(111), true), 0.55, "what comes later is not ours");
});

test("what others use is seen while nothing of ours has run for two seconds", async (t) => {
  await withNvidiaSmi(t, { "gpu=uuid": "GPU-aaa, 60, 0, 80000, 80000", "compute-apps=": "" });
  const telemetry = new NvidiaTelemetry();
  const share = async (idleFor: number): Promise<number | undefined> =>
    (await telemetry.sample([{ uuid: "GPU-aaa", usage: usage(111), loaded: true, idleFor }])).get("GPU-aaa")
      ?.othersUtilization;
  assert.equal(await share(1999), 0, "it might be ours");
  assert.equal(await share(2000), 0.6);
  assert.equal(await share(0), 0.6, "what was seen last still counts");
});

test("a GPU that does not tell something has null there, never 0", async (t) => {
  await withNvidiaSmi(t, { "gpu=uuid": "GPU-aaa, [N/A], [Not Supported], 80000, [N/A]", "compute-apps=": "" });
  const readings = await new NvidiaTelemetry().sample([{ uuid: "GPU-aaa", usage: null, loaded: true, idleFor: 0 }]);
  const { utilization, memoryUsed, memoryFree } = readings.get("GPU-aaa")!;
  assert.deepEqual([utilization, memoryUsed, memoryFree], [null, null, null]);
});

test("a failing nvidia-smi is a failed sample, not a reading of zeros", async (t) => {
  await withNvidiaSmi(t, {});
  await assert.rejects(new NvidiaTelemetry().sample([{ uuid: "GPU-aaa", usage: null, loaded: true, idleFor: 0 }]));
});

test("an NVIDIA GPU that llama.cpp cannot use is listed with why, and no CPU takes its place in silence", async (t) => {
  await withNvidiaSmi(t, { "gpu=pci.bus_id": LIST });
  const devices = await findDevices(parseConfig("", "empty.yaml"));
  assert.deepEqual(
    devices.map(({ id, uuid }) => [id, uuid]),
    [
      [0, "GPU-aaa"],
      [1, "GPU-bbb"],
    ],
  );
  for (const { unusable } of devices) assert.match(unusable ?? "", /not CUDA\. Run "npm run add-gpu cuda"/);
});

test("gpu.enabled: false asks no driver and serves from CPU devices", async (t) => {
  await withNvidiaSmi(t, { "gpu=pci.bus_id": LIST });
  const devices = await findDevices(parseConfig("gpu: { enabled: false }", "c.yaml"));
  assert.deepEqual(new Set(devices.map(({ kind }) => kind)), new Set(["cpu"]));
  assert.equal(devices.length, Math.min(2, availableParallelism()));
});

test("gpu.multi_gpu.enabled: false uses the first GPU only", async () => {
  const config = parseConfig("gpu: { devices: 'simulated:4', multi_gpu: { enabled: false } }", "c.yaml");
  assert.deepEqual(
    (await findDevices(config)).map(({ uuid }) => uuid),
    ["SIMULATED-0"],
  );
});

test("a GPU that gpu.devices names but the machine lacks is refused, with those that are there", async (t) => {
  await withNvidiaSmi(t, { "gpu=pci.bus_id": LIST });
  await assert.rejects(findDevices(parseConfig("gpu: { devices: 'gpu:5' }", "c.yaml")), {
    code: "bad_config",
    message:
      "gpu.devices names gpu:5, which is not there; this machine has gpu:0 (NVIDIA H100, GPU-aaa), gpu:1 (NVIDIA A100-SXM4-40GB, GPU-bbb).",
  });
});

test("a GPU that is named twice is refused", async () => {
  await assert.rejects(
    findDevices(parseConfig("gpu: { devices: ['cpu:1', 'cpu:2'] }", "c.yaml")),
    /names CPU device 0 .* twice/,
  );
});

test("a CPU device's utilization is its worker's share of the machine, between two reports", async () => {
  const telemetry = new CpuTelemetry();
  const read = async (report: Usage | null) => {
    const readings = await telemetry.sample([{ uuid: "CPU-0", usage: report, loaded: true, idleFor: 0 }]);
    return readings.get("CPU-0")!;
  };
  assert.equal((await read(usage(1, 0, 5))).utilization, 0, "one report alone says nothing about now");
  const half = await read(usage(1, 2000, 5 + availableParallelism()));
  assert.equal(half.utilization, 50);
  assert.equal((await read(usage(1, 2000, 5 + availableParallelism()))).utilization, 50, "the same report again");
  assert.deepEqual([half.memoryUsed, half.othersMemory, half.othersUtilization], [100 * MIB, 0, 0]);
  assert.ok(half.memoryTotal! <= totalmem() && half.memoryFree! <= half.memoryTotal!);
  assert.equal((await read(null)).utilization, 0, "no worker, no use");
});
