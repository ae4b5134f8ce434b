/** The figures of GPUs and of the models on them, as `GET /gpus` has them. A figure that a device does not tell has no series. */
import { hostname } from "node:os";
import { GPU_STATES } from "../../gpu/facts.ts";
import { type GpuStatus, INSTANCE_STATES, type InstanceStatus } from "../../gpu/status.ts";
import { OPERATOR_EVENT, type OPERATOR_EVENTS } from "../../topics.ts";
import type { Instruments, Reading } from "./instruments.ts";
import type { LabelValues } from "./label-values.ts";

const LABELS = ["gpu", "gpu_uuid", "name", "machine"];

type Figure = readonly [reading: Reading, of: (gpu: GpuStatus) => number | null];

const LOADS = ["loaded", "load_failed"] as const satisfies (typeof OPERATOR_EVENTS)["model"][number][];

/** Counts how loads of models by name end. @returns what ends it */
export function countLoads(instruments: Instruments): () => void {
  const loads = instruments.counter("model_loads_total", "Loads of models by name.", ["result"]);
  for (const result of LOADS) loads(0, result);
  return OPERATOR_EVENT.subscribe(({ kind, event }) => {
    const result = kind === "model" ? LOADS.find((one) => one === event) : undefined;
    if (result !== undefined) loads(1, result);
  });
}

/** @returns what reads them, for a scrape */
export function showGpus(instruments: Instruments, models: LabelValues): (gpus: readonly GpuStatus[]) => void {
  const here = hostname();
  const figures = figuresOf(instruments);
  const help = "1 for the state that a GPU is in, 0 for the others.";
  const states = instruments.gauge("gpu_state", help, [...LABELS, "state"]);
  const showInstances = instancesIn(instruments, models);
  return (gpus) => {
    for (const [reading] of figures) reading.clear();
    states.clear();
    for (const gpu of gpus) {
      const labels = [String(gpu.id), gpu.uuids.join(), gpu.name, gpu.machine ?? here];
      for (const [reading, of] of figures) {
        const value = of(gpu);
        if (value !== null) reading.set(value, ...labels);
      }
      for (const state of GPU_STATES) states.set(state === gpu.status ? 1 : 0, ...labels, state);
    }
    showInstances(gpus.flatMap(({ instances }) => instances));
  };
}

function figuresOf(instruments: Instruments): readonly Figure[] {
  const gauge = (name: string, help: string): Reading => instruments.gauge(`gpu_${name}`, help, LABELS);
  const total = (name: string, help: string): Reading => instruments.total(`gpu_${name}_total`, help, LABELS);
  return [
    [
      gauge("utilization_ratio", "Share of its time that a GPU computes, for anybody."),
      ({ utilization }) => (utilization === null ? null : utilization / 100),
    ],
    [gauge("memory_used_bytes", "Memory of a GPU that is taken, by anybody."), ({ memoryUsed }) => memoryUsed],
    [gauge("memory_total_bytes", "Memory of a GPU."), ({ memoryTotal }) => memoryTotal],
    [gauge("temperature_celsius", "Temperature of a GPU."), ({ temperature }) => temperature],
    [gauge("power_watts", "Power that a GPU draws."), ({ power }) => power],
    [gauge("slots", "Tasks that may run on a GPU at once."), ({ slots }) => slots],
    [gauge("slots_used", "Tasks that run on a GPU."), ({ taskCount }) => taskCount],
    [
      gauge("throttled", "Whether the clock of a GPU is lower than it could be."),
      ({ throttle }) => (throttle === null ? null : Number(throttle.length > 0)),
    ],
    [total("energy_joules", "Energy that a GPU has used since its driver was loaded."), ({ energy }) => energy],
    [
      total("memory_errors", "Errors of a GPU's memory that could not be corrected, since its driver was loaded."),
      ({ ecc }) => ecc && ecc.uncorrected,
    ],
    [
      total("xid_errors", "Xid errors that the driver has reported of a GPU since the server started."),
      ({ xids }) => Object.values(xids).reduce((sum, count) => sum + count, 0),
    ],
    [total("worker_restarts", "Worker processes that died since the server started."), ({ restarts }) => restarts],
  ];
}

function instancesIn(instruments: Instruments, models: LabelValues): (instances: readonly InstanceStatus[]) => void {
  const states = instruments.gauge("model_instances", "Instances of a model, by state.", ["model", "state"]);
  const seconds = instruments.gauge(
    "model_load_seconds",
    "What the last load of a model took; of several, the slowest.",
    ["model"],
  );
  return (instances) => {
    states.clear();
    seconds.clear();
    const byModel = Map.groupBy(instances, ({ model }) => models.of(model));
    for (const [model, own] of byModel) {
      for (const state of INSTANCE_STATES) states.set(own.filter((one) => one.state === state).length, model, state);
      const took = own.flatMap(({ loadSeconds }) => loadSeconds ?? []);
      if (took.length > 0) seconds.set(Math.max(...took), model);
    }
  };
}
