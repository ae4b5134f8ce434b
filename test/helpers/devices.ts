/** Devices and engines for the tests of what looks after them. */
import { type EngineOptions, type SimulatedOptions } from "../../src/engine/engine.ts";
import { type Device } from "../../src/gpu/inventory/devices.ts";

/** Options of a simulated engine that works at once, changed as the test wants. */
export function simulatedEngine(changes: Partial<SimulatedOptions> = {}): EngineOptions {
  return {
    kind: "simulated",
    model: "",
    context: null,
    minContext: 2048,
    raw: false,
    slots: 4,
    backend: false,
    tuning: { threads: 1, cores: 1, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
    binary: "llama-server",
    upstream: null,
    patience: { firstByte: 120, token: 30 },
    memoryBudget: null,
    memoryShare: 0.9,
    measuredOverhead: null,
    simulated: { tokens_per_second: 0, load_seconds: 0, context: 4096, memory_bytes: 0, failures: [], ...changes },
  };
}

/** A simulated device, changed as the test wants. */
export function aDevice(changes: Partial<Device> = {}): Device {
  const uuids = changes.uuids ?? ["SIMULATED-0"];
  return {
    id: 0,
    key: uuids.join(","),
    kind: "simulated",
    name: "Simulated device 0",
    uuids,
    pciBusIds: [],
    vendor: "simulated",
    backend: false,
    memoryTotal: null,
    computeCapability: null,
    maxTemperature: null,
    environment: {},
    slots: 4,
    thresholds: { memory: 0.9, utilization: 0.95 },
    own: {},
    engine: {
      kind: "simulated",
      model: "",
      context: null,
      minContext: 2048,
      raw: false,
      tuning: { threads: null, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
      binary: "llama-server",
      upstream: null,
      patience: { firstByte: 120, token: 30 },
    },
    unfit: null,
    mendedBy: null,
    demoOnly: false,
    lost: null,
    ...changes,
  };
}

/** A physical GPU on which a simulated engine runs. */
export function aGpu(changes: Partial<Device> = {}): Device {
  return aDevice({
    kind: "gpu",
    name: "NVIDIA H100",
    uuids: ["GPU-00000000-0000-0000-0000-000000000001"],
    pciBusIds: ["0000:01:00.0"],
    vendor: "nvidia",
    backend: "cuda",
    maxTemperature: 85,
    ...changes,
  });
}
