/** GPUs as people read them in a terminal: what `alt-las gpus` prints. */
import { type GpuDetails, type GpuView } from "./http/schemas/gpus.ts";
import { bar, table, wrap } from "./table.ts";

/** Where it is read: so many columns of a terminal; null: in a file or by a program, which want neither bars nor broken lines. */
export type Columns = number | null;

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const JOULES_PER_KWH = 3_600_000;

/** Widths of a bar: the widest is taken that leaves names enough room. */
const BARS = [10, 5, 0] as const;
const ENOUGH_FOR_A_NAME = 14;

const HEAD = ["GPU", "NAME", "STATUS", "TASKS", "UTIL", "MEMORY", "TEMP", "POWER", "OTHERS"];

/** All GPUs, one a line, and under those that get no tasks the reason. */
export function gpusTable(gpus: readonly GpuView[], columns: Columns): string {
  if (gpus.length === 0) return "There are no GPUs.";
  const rows = gpus.flatMap((gpu) => [gpu, ...reasonsOf(gpu).map((why) => wrapped(why, "     ", columns))]);
  const { bars, names } = layoutFor(gpus, columns);
  return table(
    HEAD,
    rows.map((row) => (typeof row === "string" ? row : cellsOf(row, bars, names))),
  );
}

/** How wide bars and names may be; names are cut where even a table without bars is too wide. */
function layoutFor(gpus: readonly GpuView[], columns: Columns): { readonly bars: number; readonly names: number } {
  if (columns === null) return { bars: 0, names: Infinity };
  const longest = Math.max(...gpus.map(({ name }) => name.length));
  const wanted = Math.min(longest, ENOUGH_FOR_A_NAME);
  const layouts = BARS.map((bars) => {
    const rows = gpus.map((gpu) => cellsOf(gpu, bars, longest));
    return { bars, names: longest - Math.max(0, widthOf(table(HEAD, rows)) - columns) };
  });
  return layouts.find(({ names }) => names >= wanted) ?? { bars: 0, names: Math.max(layouts.at(-1)!.names, 4) };
}

function cellsOf(gpu: GpuView, bars: number, names: number): string[] {
  return [
    String(gpu.id),
    shortened(gpu.name, names),
    gpu.status,
    `${gpu.task_count}/${gpu.slots}`,
    utilizationOf(gpu, bars),
    memoryOf(gpu, bars),
    withUnit(gpu.temperature, "°C"),
    withUnit(gpu.power, "W"),
    mostByOthers(gpu),
  ];
}

/** Why it gets no new tasks; nothing when it does. */
function reasonsOf({ status, reason, crowded }: GpuView): string[] {
  return [status === "ready" ? null : reason, crowded].filter((why) => why !== null);
}

/** What others take most of: the share that is nearest to shutting us out. */
function mostByOthers({ others_memory: memory, others_utilization: time }: GpuView): string {
  if (memory === null && time === null) return "-";
  return memory !== null && memory >= (time ?? 0) ? `${shareOf(memory)} mem` : `${shareOf(time)} util`;
}

/** Everything known about one GPU. */
export function gpuPage(gpu: GpuDetails, columns: Columns): string {
  const facts = [...factsOfState(gpu), ...factsOfDevice(gpu, columns === null ? 0 : BARS[0]), ...factsOfWorker(gpu)];
  const lines = facts.map(([name, text]) => hanging(name.padEnd(FACT_INDENTATION), text, columns));
  return [lines.join("\n"), ...listsOf(gpu, columns)].join("\n\n");
}

type Fact = readonly [name: string, text: string];

const FACT_INDENTATION = 15;

function factsOfState(gpu: GpuDetails): Fact[] {
  return [
    ["GPU", `${gpu.id}: ${gpu.name}`],
    ["Status", `${gpu.status} since ${gpu.since}`],
    ...reasonsOf(gpu).map((why): Fact => ["", why]),
    ["Tasks", `${gpu.task_count} in ${gpu.slots} slots, load ${gpu.load.toFixed(2)}`],
  ];
}

function factsOfDevice(gpu: GpuDetails, bars: number): Fact[] {
  const { max_temperature, power_limit, energy, throttle, ecc } = gpu;
  return [
    ["Utilization", utilizationOf(gpu, bars)],
    ["Memory", listed(memoryOf(gpu, bars), gpu.memory_free, (free) => `free ${bytesOf(free)}`)],
    ["Others", `memory ${shareOf(gpu.others_memory)}, utilization ${shareOf(gpu.others_utilization)}`],
    ["Temperature", listed(withUnit(gpu.temperature, "°C"), max_temperature, (max) => `no new tasks above ${max} °C`)],
    ["Power", listed(withUnit(gpu.power, "W"), power_limit, (limit) => `limit ${withUnit(limit, "W")}`)],
    ["Energy", energy === null ? "-" : `${(energy / JOULES_PER_KWH).toFixed(2)} kWh since the driver was loaded`],
    ["Throttled by", throttle === null ? "-" : throttle.join(", ") || "nothing"],
    ["Memory errors", ecc === null ? "-" : `${ecc.corrected} corrected, ${ecc.uncorrected} uncorrected`],
    ["Xid errors", countsOf(gpu.xids)],
    ["Capability", gpu.compute_capability?.toFixed(1) ?? "-"],
    ["UUID", (gpu.uuids ?? [gpu.uuid ?? "-"]).join(", ")],
    ["PCI bus id", (gpu.pci_bus_ids ?? [gpu.pci_bus_id ?? "-"]).join(", ")],
  ];
}

function factsOfWorker(gpu: GpuDetails): Fact[] {
  return [
    ["Model", listed(gpu.model ?? "-", gpu.context, (context) => `${context} tokens for each slot`)],
    ...(gpu.memory_note === null ? [] : [["", gpu.memory_note] as const]),
    ["Device", gpu.device ?? "-"],
    ...(gpu.upstream === null ? [] : [["Its server", loadOf(gpu.upstream)] as const]),
    ["Worker", `${gpu.pid === null ? "none" : `process ${gpu.pid}`}, ${gpu.restarts} died since the server started`],
  ];
}

/** What a server says of its load, by everybody, as far as it tells. */
function loadOf({ running, waiting, kv_cache_use, slots }: NonNullable<GpuDetails["upstream"]>): string {
  const room = slots === null ? "" : ` of ${slots}`;
  const said = [
    running === null ? null : `${running}${room} running`,
    waiting === null ? null : `${waiting} waiting`,
    kv_cache_use === null ? null : `${shareOf(kv_cache_use)} of its KV cache in use`,
  ];
  return said.filter((part) => part !== null).join(", ") || "-";
}

/** Running tasks, processes and events, each where there are any. */
function listsOf({ running_tasks, processes, events }: GpuDetails, columns: Columns): string[] {
  const tasks = running_tasks.map(({ task_id, user, started_at }) => [task_id, user, started_at ?? "-"]);
  const users = (processes ?? []).map(({ pid, memory, utilization, own }) => [
    String(pid),
    bytesOf(memory),
    percentOf(utilization),
    own ? "this server's worker" : "another",
  ]);
  const history = events.map(({ at, event, reason }) => hanging(`${at}  ${event.padEnd(8)}  `, reason, columns));
  return [
    ...(tasks.length === 0 ? [] : [table(["RUNNING TASK", "USER", "STARTED"], tasks)]),
    ...(users.length === 0 ? [] : [table(["PROCESS", "MEMORY", "UTIL", "WHOSE"], users)]),
    ...(history.length === 0 ? [] : [`EVENTS\n${history.join("\n")}`]),
  ];
}

/** A text beside its label; what does not fit goes on under its own beginning. */
function hanging(label: string, text: string, columns: Columns): string {
  return label + wrapped(text, " ".repeat(label.length), columns).trimStart();
}

function wrapped(text: string, indentation: string, columns: Columns): string {
  return wrap(text, columns ?? Infinity, indentation);
}

/** Adds what is said of a second figure, where it is known. */
function listed(text: string, figure: number | null, say: (figure: number) => string): string {
  return figure === null ? text : `${text}, ${say(figure)}`;
}

function utilizationOf({ utilization }: GpuView, bars: number): string {
  const text = percentOf(utilization);
  return utilization === null || bars === 0 ? text : `${bar(utilization / 100, bars)} ${text.padStart(5)}`;
}

function memoryOf({ memory_used: used, memory_total: total }: GpuView, bars: number): string {
  if (total === null) return bytesOf(used);
  const text = `${used === null ? "-" : gibOf(used, total)}/${gibOf(total, total)} GiB`;
  return used === null || total === 0 || bars === 0 ? text : `${bar(used / total, bars)} ${text}`;
}

/** With as many digits as make sense beside `whole`. */
function gibOf(bytes: number, whole: number): string {
  return (bytes / GIB).toFixed(whole < 100 * GIB ? 1 : 0);
}

function bytesOf(bytes: number | null): string {
  if (bytes === null) return "-";
  return bytes < GIB ? withUnit(bytes / MIB, "MiB") : `${gibOf(bytes, bytes)} GiB`;
}

function percentOf(percent: number | null): string {
  return withUnit(percent, "%");
}

function shareOf(share: number | null): string {
  return percentOf(share === null ? null : share * 100);
}

function withUnit(value: number | null, unit: string): string {
  return value === null ? "-" : `${Math.round(value)} ${unit}`;
}

function countsOf(xids: Readonly<Record<string, number>>): string {
  const counts = Object.entries(xids).map(([xid, count]) => (count === 1 ? xid : `${xid} (${count} times)`));
  return counts.join(", ") || "none";
}

function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

function widthOf(text: string): number {
  return Math.max(...text.split("\n").map((line) => line.length));
}
