/** The picture of `alt-las top`. */
import { wallTime } from "../../common/clock.ts";
import { said } from "../../words/terminal.ts";
import { gpusTable } from "../gpus-table.ts";
import { type Columns, shortened, widthOf } from "../table.ts";
import { fittedTable, type Row } from "./fitted-table.ts";
import { endsOf } from "./ids.ts";
import { legible } from "../../common/legible.ts";
import type { Sight, Some } from "./sight.ts";
import type { Listed } from "./tasks.ts";
import { painted } from "./terminal.ts";
import { ageOf, clockOf } from "./times.ts";

export interface Frame {
  readonly columns: Columns;
  /** Lines that it may have. */
  readonly rows: number;
  readonly colour: boolean;
  /** The server's address. */
  readonly url: string;
  /** Unix milliseconds. */
  readonly now?: number;
  /** A sentence, when the server does not answer and this is an older picture. */
  readonly trouble?: string | null;
}

/** Lines, at most `rows`: the GPUs first, then callers, running tasks and the queue share what is left. */
export function picture(seen: Sight, frame: Frame): string[] {
  const { columns, rows, colour } = frame;
  const { gpus, callers, running, queued } = legible(seen);
  const head = headOf(seen, frame);
  const gpuLines = gpusTable(gpus, columns, { colour }).split("\n");
  const parts = [
    gpuLines,
    callers === null ? [] : callersPart(callers, columns),
    runningPart(running, frame),
    queuedPart(queued, frame),
  ].filter((part) => part.length > 0);
  const room = rows - head.length - parts.length;
  const given = shares(
    parts.map((part) => part.length),
    room,
  );
  return [...head, ...parts.flatMap((part, at) => ["", ...cut(part, given[at]!)])].slice(0, rows);
}

function headOf({ running, queued }: Sight, frame: Frame): string[] {
  const { url, columns, colour, now = wallTime(), trouble } = frame;
  const counts = said(`${running.total} running, ${queued.total} queued`);
  const line = `ALT_LAS ${url.replace(/^https?:\/\//, "")}  ${clockOf(new Date(now).toISOString(), now)}  ${counts}`;
  const hint = columns === null ? "" : `  ${said("q: quit")}`;
  const shown = columns === null || widthOf(line + hint) <= columns ? line + hint : shortened(line, columns);
  const lines = [painted("bold", shown, colour)];
  if (trouble) lines.push(painted("red", columns === null ? trouble : shortened(legible(trouble), columns), colour));
  return lines;
}

/** Lines of each part: those that need less than an equal share leave the rest to the others. */
function shares(wanted: readonly number[], room: number): number[] {
  const given = wanted.map(() => 0);
  for (let left = Math.max(0, room); left > 0;) {
    const hungry = wanted.flatMap((lines, at) => (given[at]! < lines ? [at] : []));
    if (hungry.length === 0) break;
    for (const at of hungry) {
      if (left === 0) break;
      given[at]!++;
      left--;
    }
  }
  return given;
}

/** With a last line that says what is not shown. */
function cut(lines: readonly string[], room: number): readonly string[] {
  if (lines.length <= room) return lines;
  return room === 0 ? [] : [...lines.slice(0, room - 1), said(`… ${lines.length - room + 1} more lines`)];
}

/** Those that have something to do; the others are only counted. */
function callersPart(callers: NonNullable<Sight["callers"]>, columns: Columns): string[] {
  const busy = callers.filter(({ running, queued }) => running + queued > 0);
  if (busy.length === 0) return [];
  const rows = busy
    .toSorted((one, other) => other.running + other.queued - one.running - one.queued)
    .map(({ user, running, queued, share, limits }): Row => {
      const most = limits.max_running === null ? "" : ` of ${limits.max_running}`;
      return { cells: [user, `${running}${most}`, String(queued), `${Math.round(share * 100)} %`] };
    });
  const head = [{ title: "CALLER", isName: true }, { title: "RUNNING" }, { title: "QUEUED" }, { title: "SHARE" }];
  return fittedTable(head, rows, columns).split("\n");
}

function runningPart({ tasks, total }: Some, { columns, now = wallTime() }: Frame): string[] {
  if (tasks.length === 0) return [];
  const ends = endsOf(tasks.map(({ task_id }) => task_id));
  const rows = tasks.map(({ user = "-", gpu_id, model = "-", started_at }, at): Row => {
    const cells = [
      ends[at]!,
      user,
      gpu_id === null ? "-" : String(gpu_id),
      model,
      started_at === null ? "-" : ageOf(started_at, now),
    ];
    return { cells };
  });
  const head = [
    { title: `RUNNING (${total})` },
    { title: "USER", isName: true },
    { title: "GPU" },
    { title: "MODEL", isName: true, spare: 1 },
    { title: "FOR" },
  ];
  return fittedTable(head, rows, columns).split("\n");
}

function queuedPart({ tasks, total }: Some, { columns, now = wallTime() }: Frame): string[] {
  if (tasks.length === 0) return [];
  const ends = endsOf(tasks.map(({ task_id }) => task_id));
  const head = [
    { title: `QUEUE (${total})` },
    { title: "USER", isName: true },
    { title: "MODEL", isName: true, spare: 1 },
  ];
  const rows = tasks.map((task, at): Row => {
    const { user = "-", model = "-", created_at } = task;
    return { cells: [ends[at]!, user, model, ageOf(created_at, now)], under: reasonUnder(task, tasks[at - 1]) };
  });
  return fittedTable([...head, { title: "FOR" }], rows, columns).split("\n");
}

/** Tasks behind each other often wait for the same. */
function reasonUnder({ waiting }: Listed, before: Listed | undefined): string | null {
  return waiting === undefined || waiting.sentence === before?.waiting?.sentence ? null : waiting.sentence;
}
