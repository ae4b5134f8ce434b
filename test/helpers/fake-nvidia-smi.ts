/**
 * A stand-in for nvidia-smi, run as `node fake-nvidia-smi.ts <folder> <arguments of nvidia-smi>`: it understands what the
 * server asks, takes its GPUs from `state.json` in that folder, which it reads again for every turn of its loop, and
 * notes each of its runs in `runs`. Its sentences and exit codes are those that real ones were seen to write.
 */
import { appendFileSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { FakeNvidiaGpu, FakeNvidiaState } from "./fake-drivers.ts";

const [folder = "", ...args] = process.argv.slice(2);

type Figure = (gpu: FakeNvidiaGpu, index: number, state: FakeNvidiaState) => string | number | undefined;

const GPU_FIELDS: Readonly<Record<string, Figure>> = {
  "pci.bus_id": ({ busId }) => `0000${busId.toUpperCase()}`,
  uuid: ({ uuid }) => uuid,
  index: (_, index) => index,
  name: ({ name }) => name,
  driver_version: (_, __, { driverVersion }) => driverVersion ?? "570.124.06",
  compute_cap: ({ computeCapability }) => computeCapability,
  "mig.mode.current": ({ mig }) => (mig === undefined ? undefined : "Enabled"),
  "utilization.gpu": ({ utilization }) => utilization,
  "memory.total": ({ memoryTotal }) => memoryTotal,
  "memory.used": ({ memoryUsed }) => memoryUsed,
  "memory.free": ({ memoryTotal, memoryUsed = 0 }) => memoryTotal - memoryUsed,
  "temperature.gpu": ({ temperature }) => temperature,
  "power.draw": ({ power }) => power?.toFixed(2),
  "power.limit": ({ powerLimit }) => powerLimit?.toFixed(2),
  "ecc.errors.corrected.volatile.total": ({ ecc }) => ecc?.[0],
  "ecc.errors.uncorrected.volatile.total": ({ ecc }) => ecc?.[1],
  "clocks_event_reasons.active": ({ throttle }) => throttle,
  "clocks_throttle_reasons.active": ({ throttle }) => throttle,
};

appendFileSync(join(folder, "runs"), `${args.join(" ")}\n`);
const interval = args[args.indexOf("-lms") + 1];
turn();
if (args.includes("-lms")) setInterval(turn, Number(interval));

function turn(): void {
  const state = JSON.parse(readFileSync(join(folder, "state.json"), "utf8")) as FakeNvidiaState;
  if (state.hangs) {
    setInterval(() => {}, 1000);
    return;
  }
  if (state.failure !== undefined) fail(state.failure.text, state.failure.code);
  if (state.gpus.length === 0) fail("No devices were found", 6);
  say(answer(state));
}

function answer(state: FakeNvidiaState): readonly string[] {
  const [query = "", fields = ""] = args[0]!.split("=");
  if (query === "--query-gpu") return cards(state, fields.split(","));
  if (query === "--query-compute-apps") return processes(state, fields.split(","));
  if (query === "-L") return list(state);
  if (args.join(" ") === "-q -d TEMPERATURE") return temperatures(state);
  return fail(`Option ${args[0]} is not recognized.`, 2);
}

function cards(state: FakeNvidiaState, fields: readonly string[]): string[] {
  const refused = new Set(state.unknownFields);
  const unknown = fields.find((field) => !(field in GPU_FIELDS) || refused.has(field));
  if (unknown !== undefined) fail(`Field "${unknown}" is not a valid field to query.\n`, 2);
  return state.gpus.map((gpu, index) => {
    if (gpu.complaint !== undefined) return gpu.complaint;
    return fields.map((field) => gpu.says?.[field] ?? GPU_FIELDS[field]!(gpu, index, state) ?? "[N/A]").join(", ");
  });
}

function processes(state: FakeNvidiaState, fields: readonly string[]): string[] {
  return state.gpus.flatMap((gpu) =>
    (gpu.processes ?? []).map(({ pid, memory = "[N/A]", device = gpu.uuid }) => {
      const values: Readonly<Record<string, string | number>> = { gpu_uuid: device, pid, used_gpu_memory: memory };
      return fields.map((field) => values[field]).join(", ");
    }),
  );
}

function list({ gpus }: FakeNvidiaState): string[] {
  return gpus.flatMap(({ name, uuid, mig = [] }, index) => [
    `GPU ${index}: ${name} (UUID: ${uuid})`,
    ...mig.map((device, at) => `  MIG ${device.profile.padEnd(11)} Device ${at}: (UUID: ${device.uuid})`),
  ]);
}

function temperatures({ gpus }: FakeNvidiaState): string[] {
  return [
    "",
    "==============NVSMI LOG==============",
    "",
    `Attached GPUs                             : ${gpus.length}`,
    ...gpus.flatMap(({ busId, temperature, slowdownTemperature }) => [
      `GPU 0000${busId.toUpperCase()}`,
      "    Temperature",
      `        GPU Current Temp                  : ${temperature ?? "N/A"} C`,
      "        GPU T.Limit Temp                  : 51 C",
      slowdownTemperature === undefined
        ? "        GPU Slowdown T.Limit Temp         : -2 C"
        : `        GPU Slowdown Temp                 : ${slowdownTemperature} C`,
    ]),
  ];
}

function say(lines: readonly string[]): void {
  try {
    if (lines.length > 0) writeSync(1, `${lines.join("\n")}\n`);
  } catch {
    process.exit(1); // Nobody reads any more.
  }
}

/** Like the real one, on standard output. */
function fail(text: string, code: number): never {
  say([text]);
  process.exit(code);
}
