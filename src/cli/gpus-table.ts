/** GPUs as people read them in a terminal: what `alt-las gpus` prints. */
import { said } from "../words/terminal.ts";
import type { GpuDetails, GpuView } from "../http/schemas/gpus.ts";
import { styleText } from "node:util";
import { modelsOn, modelsTable } from "./gpu-models.ts";
import { ageOf, clockOf } from "./remote/times.ts";
import { bar, type Columns, hanging, padded, shortened, table, widest, widthOf, wrapped } from "./table.ts";

export { type Columns } from "./table.ts";

/** How it is shown, beside its width. */
export interface TableStyle {
  /** Whether the state of a GPU has a colour. */
  readonly colour?: boolean;
  /** Unix milliseconds: what is long ago is told with its day. */
  readonly now?: number;
}

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const JOULES_PER_KWH = 3_600_000;

/** Widths of a bar: the widest is taken that leaves names enough room. */
const BARS = [10, 5, 0] as const;
const ENOUGH_FOR_A_NAME = 14;
/** Cells below which a name tells nothing. */
const LEAST_NAME = 8;

/** Cells between two columns. */
const GAP = 2;

const HEAD = ["GPU", "MACHINE", "NAME", "STATUS", "TASKS", "UTIL", "MEMORY", "TEMP", "POWER", "OTHERS", "MODEL"];
/** In the order in which they go. */
const SPARE = ["OTHERS", "POWER", "TEMP", "MACHINE"];

/** All GPUs, one a line, and under those that get no tasks the reason; one that several share stands once, under the last of them. */
export function gpusTable(gpus: readonly GpuView[], columns: Columns, style: TableStyle = {}): string {
  if (gpus.length === 0) return "There are no GPUs.";
  const layout = layoutFor(gpus, columns);
  const pick = (row: readonly string[]): string[] => row.filter((_cell, column) => layout.shown.includes(column));
  const rows = gpus.flatMap((gpu) => [
    pick(cellsOf(gpu, layout, style)),
    ...reasonsUnder(gpu, gpus).map((why) => wrapped(why, "     ", columns)),
  ]);
  return table(pick(HEAD), rows);
}

/** With the GPUs that it is about, where it is about several. */
function reasonsUnder(gpu: GpuView, gpus: readonly GpuView[]): string[] {
  return reasonsOf(gpu).flatMap((why) => {
    const about = gpus.filter((other) => reasonsOf(other).includes(why));
    if (about.at(-1) !== gpu) return [];
    return about.length === 1 ? why : `GPU ${about.map(({ id }) => id).join(", ")}: ${why}`;
  });
}

interface Layout {
  /** Characters of each bar. */
  readonly bars: number;
  /** Cells of each name at most. */
  readonly names: number;
  /** Cells of each machine's name at most. */
  readonly machines: number;
  /** The columns that are shown. */
  readonly shown: readonly number[];
}

/** The column of the names by which requests ask for models takes only room that all else leaves, bars included. */
const LAST = HEAD.indexOf("MODEL");
const MACHINE = HEAD.indexOf("MACHINE");

/** All columns; that of machines only where there are any. */
function columnsFor(gpus: readonly GpuView[]): number[] {
  return [...HEAD.keys()].filter((column) => column !== MACHINE || gpus.some(({ machine }) => machine !== undefined));
}

/**
 * 1. Where not everything has room, columns in which nothing is known go first.
 * 2. Bars become narrower, and go, before names are shortened much.
 * 3. Where names would tell nothing then, those of machines are shortened, and figures go that the page of one GPU has too. At last the
 *    machines go.
 * 4. The names of models stand where there is room left.
 */
function layoutFor(gpus: readonly GpuView[], columns: Columns): Layout {
  const whole = columnsFor(gpus);
  if (columns === null) return { bars: 0, names: Infinity, machines: Infinity, shown: whole };
  const longest = Math.max(...gpus.map(({ name }) => widthOf(name)));
  const layoutWith: LayoutWith = (bars, shown, machines = Infinity) => {
    const rows = [HEAD.map(said), ...gpus.map((gpu) => cellsOf(gpu, { bars, names: longest, machines }))];
    const widths = shown.map((column) => Math.max(...rows.map((row) => widthOf(row[column]!))));
    const width = widths.reduce((sum, cells) => sum + cells + GAP, -GAP);
    return { bars, names: longest - Math.max(0, width - columns), machines, shown };
  };
  const all = whole.filter((column) => column !== LAST);
  const plain = gpus.map((gpu) => cellsOf(gpu, { bars: 0, names: longest, machines: Infinity }));
  const known =
    layoutWith(BARS[0], whole).names >= longest ? all : all.filter((at) => plain.some((cells) => cells[at] !== "-"));
  const wanted = Math.min(longest, ENOUGH_FOR_A_NAME);
  const barred = BARS.map((bars) => layoutWith(bars, known)).find(({ names }) => names >= wanted);
  if (barred === undefined) return narrowest(known, layoutWith, Math.min(longest, LEAST_NAME));
  return gpus.every((gpu) => modelsOn(gpu) === "-") ? barred : withModels(barred, layoutWith);
}

type LayoutWith = (bars: number, shown: readonly number[], machines?: number) => Layout;

/** Without bars, and with as few columns less as leave names `least` cells. */
function narrowest(known: readonly number[], layoutWith: LayoutWith, least: number): Layout {
  const without = (gone: number, machines: number): Layout =>
    layoutWith(
      0,
      known.filter((column) => !SPARE.slice(0, gone).includes(HEAD[column]!)),
      machines,
    );
  const fewer = [
    ...[0, 1, 2, 3].map((gone) => without(gone, ENOUGH_FOR_A_NAME)),
    ...[3, 4].map((gone) => without(gone, LEAST_NAME)),
  ];
  return fewer.find(({ names }) => names >= least) ?? { ...fewer.at(-1)!, names: LEAST_NAME };
}

function withModels(layout: Layout, layoutWith: LayoutWith): Layout {
  const wider = layoutWith(layout.bars, [...layout.shown, LAST]);
  return wider.names >= layout.names ? wider : layout;
}

/** A state's colour; the others have none. */
const COLOURS: Partial<Record<GpuView["status"], Parameters<typeof styleText>[0]>> = {
  ready: "green",
  starting: "yellow",
  hot: "yellow",
  draining: "yellow",
  drained: "yellow",
  unfit: "red",
  faulted: "red",
  lost: "red",
};

function coloured(status: GpuView["status"], { colour = false }: TableStyle): string {
  const style = COLOURS[status];
  // Whether there are colours at all was decided by whoever asks.
  return colour && style !== undefined ? styleText(style, status, { validateStream: false }) : status;
}

function cellsOf(gpu: GpuView, { bars, names, machines }: Omit<Layout, "shown">, style: TableStyle = {}): string[] {
  return [
    String(gpu.id),
    gpu.machine === undefined ? "-" : shortened(gpu.machine, machines),
    shortened(gpu.name, names),
    coloured(gpu.status, style),
    `${gpu.task_count}/${gpu.slots}`,
    utilizationOf(gpu, bars),
    memoryOf(gpu, bars),
    withUnit(gpu.temperature, "°C"),
    withUnit(gpu.power, "W"),
    mostByOthers(gpu),
    modelsOn(gpu),
  ];
}

/** Why it gets no new tasks; nothing when it does. */
function reasonsOf({ status, reason, crowded }: GpuView): string[] {
  return [status === "ready" ? null : reason, crowded].filter((why) => why !== null);
}

/** The largest share that other programs take: the one nearest to making the GPU crowded. */
function mostByOthers({ others_memory: memory, others_utilization: time }: GpuView): string {
  if (memory === null && time === null) return "-";
  return memory !== null && memory >= (time ?? 0) ? `${shareOf(memory)} mem` : `${shareOf(time)} util`;
}

/** Everything known about one GPU. */
export function gpuPage(gpu: GpuDetails, columns: Columns, style: TableStyle = {}): string {
  const facts = [
    ...factsOfState(gpu, style),
    ...factsOfDevice(gpu, columns === null ? 0 : BARS[0]),
    ...factsOfWorker(gpu),
  ];
  const lines = facts.map(([name, text]) => hanging(said(name).padEnd(FACT_INDENTATION), said(text), columns));
  return [lines.join("\n"), ...listsOf(gpu, columns, style)].join("\n\n");
}

type Fact = readonly [name: string, text: string];

const FACT_INDENTATION = 15;

function factsOfState(gpu: GpuDetails, style: TableStyle): Fact[] {
  return [
    ["GPU", `${gpu.id}: ${gpu.name}`],
    ["Status", `${coloured(gpu.status, style)} since ${gpu.since}`],
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
    ...(gpu.machine === undefined ? [] : [["Machine", gpu.machine] as const]),
    ["UUID", (gpu.uuids ?? [gpu.uuid ?? "-"]).join(", ")],
    ["PCI bus id", (gpu.pci_bus_ids ?? [gpu.pci_bus_id ?? "-"]).join(", ")],
  ];
}

function factsOfWorker(gpu: GpuDetails): Fact[] {
  return [
    ["Model", listed(gpu.model ?? "-", gpu.context, (context) => `${context} tokens for each slot`)],
    ...(gpu.model_name === null || gpu.model_name === gpu.model ? [] : [["Called", gpu.model_name] as const]),
    ...(gpu.capabilities === null ? [] : [["Can", abilitiesOf(gpu.capabilities, gpu.chat_template)] as const]),
    ...(gpu.memory_note === null ? [] : [["", gpu.memory_note] as const]),
    ["Device", gpu.device ?? "-"],
    ...(gpu.upstream === null ? [] : [["Its server", loadOf(gpu.upstream)] as const]),
    ["Worker", `${gpu.pid === null ? "none" : `process ${gpu.pid}`}, ${gpu.restarts} died since the server started`],
  ];
}

function abilitiesOf(capabilities: readonly string[], hasTemplate: boolean | null): string {
  return capabilities.join(", ") + (hasTemplate === false ? "; it has no chat template" : "");
}

/** The load that a server reports, from all its clients, as far as it tells. */
function loadOf({ running, waiting, kv_cache_use, slots }: NonNullable<GpuDetails["upstream"]>): string {
  const room = slots === null ? "" : ` of ${slots}`;
  const parts = [
    running === null ? null : `${running}${room} running`,
    waiting === null ? null : `${waiting} waiting`,
    kv_cache_use === null ? null : `${shareOf(kv_cache_use)} of its KV cache in use`,
  ];
  return parts.filter((part) => part !== null).join(", ") || "-";
}

/** Models, running tasks, processes and events, each where there are any. */
function listsOf(gpu: GpuDetails, columns: Columns, style: TableStyle): string[] {
  const { running_tasks, processes, events } = gpu;
  const users = (processes ?? []).map(({ pid, memory, utilization, own }) => [
    String(pid),
    bytesOf(memory),
    percentOf(utilization),
    said(own ? "this server's worker" : "another"),
  ]);
  const isNarrow = columns !== null && columns < NARROW;
  const time = (at: string): string => (isNarrow ? clockOf(at, style.now) : at);
  const history = events.map(({ at, event, reason }) => hanging(`${time(at)}  ${padded(event, 8)}  `, reason, columns));
  const models = modelsTable(gpu, bytesOf);
  return [
    ...(models === null ? [] : [models]),
    ...(running_tasks.length === 0 ? [] : [tasksTable(running_tasks, columns, style)]),
    ...(users.length === 0 ? [] : [table(["PROCESS", "MEMORY", "UTIL", "WHOSE"], users)]),
    ...(history.length === 0 ? [] : [`${said("EVENTS")}\n${history.join("\n")}`]),
  ];
}

/** Columns of a terminal below which times are short. */
const NARROW = 80;

/** A task's id is never cut, as it is there to be copied: times become short, then users' names. */
function tasksTable(tasks: GpuDetails["running_tasks"], columns: Columns, style: TableStyle): string {
  const head = ["RUNNING TASK", "USER", "STARTED"];
  const whole = table(
    head,
    tasks.map(({ task_id, user, started_at }) => [task_id, user, started_at ?? "-"]),
  );
  const room = columns ?? Infinity;
  if (widest(whole) <= room) return whole;
  const short = (names: number, withAge: boolean): string =>
    table(
      head,
      tasks.map(({ task_id, user, started_at: at }) => [
        task_id,
        shortened(user, names),
        at === null ? "-" : withAge ? `${clockOf(at, style.now)}, ${ageOf(at, style.now)}` : clockOf(at, style.now),
      ]),
    );
  const variants = [short(Infinity, true), short(Infinity, false)];
  const over = widest(variants[1]!) - room;
  const longest = Math.max(...tasks.map(({ user }) => widthOf(user)));
  return variants.find((text) => widest(text) <= room) ?? short(Math.max(longest - over, 4), false);
}

/** Adds what is said of a second figure, where it is known. */
function listed(text: string, figure: number | null, say: (figure: number) => string): string {
  return figure === null ? text : `${text}, ${said(say(figure))}`;
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
  const counts = Object.entries(xids).map(([xid, count]) => (count === 1 ? xid : said(`${xid} (${count} times)`)));
  return counts.join(", ") || said("none");
}
