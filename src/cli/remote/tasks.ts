/** `alt-las tasks`: tasks as a table, newest first. */
import { said } from "../../words/terminal.ts";
import type { TasksAnswer, TaskView } from "../../http/schemas/tasks.ts";
import { wallTime } from "../../common/clock.ts";
import { type Columns, widest, wrap } from "../table.ts";
import { ask, type Remote } from "./client.ts";
import { type Column, fittedTable, type Row } from "./fitted-table.ts";
import { endsOf } from "./ids.ts";
import { jsonText, legible } from "../../common/legible.ts";
import { paintedStatus } from "./terminal.ts";
import { between, tookWords, whenOf } from "./times.ts";

/** A task; servers of earlier versions tell less of it. */
export type Listed = Omit<TaskView, "user" | "timing"> & Partial<Pick<TaskView, "user" | "timing">>;

export interface Look {
  readonly columns: Columns;
  readonly colour: boolean;
  /** Unix milliseconds. */
  readonly now?: number;
}

/** `tasks`: the text to print. @param filters of `GET /tasks`, as they were given: the server says what is wrong with them */
export async function tasksCommand(
  remote: Remote,
  filters: Readonly<Record<string, string>>,
  look: Look & { readonly json: boolean },
): Promise<string> {
  const query = new URLSearchParams(filters);
  const answer = (await ask(remote, `tasks?${query}`, "tasks")) as TasksAnswer;
  if (look.json) return jsonText(answer, 2);
  const { tasks, total } = legible(answer);
  const shown = Object.values(tasks);
  if (shown.length === 0) return said(total === 0 ? "No task matches." : `No task from there on; ${total} match.`);
  const lines = [tasksTable(shown, look)];
  if (shown.length < total) {
    const note = said(`${shown.length} of ${total} tasks; --limit and --offset show others.`);
    lines.push(wrap(note, look.columns ?? Infinity));
  }
  return lines.join("\n\n");
}

const COLUMNS: readonly Column[] = [
  { title: "TASK" },
  { title: "STATUS" },
  { title: "USER", isName: true },
  { title: "GPU" },
  { title: "MODEL", isName: true, spare: 2 },
  { title: "SUBMITTED" },
  { title: "WAITED", spare: 1 },
  { title: "RAN" },
  { title: "TOKENS", spare: 3 },
];

/** One a line, and under those that failed why. Whole ids where there is room for all else, too. */
export function tasksTable(tasks: readonly Listed[], look: Look): string {
  const ids = tasks.map(({ task_id }) => task_id);
  const rowsWith = (shownIds: readonly string[]): Row[] => tasks.map((task, at) => rowOf(task, shownIds[at]!, look));
  const whole = fittedTable(COLUMNS, rowsWith(ids), null);
  const { columns } = look;
  if (columns === null || widestRow(whole) <= columns) return fittedTable(COLUMNS, rowsWith(ids), columns);
  return fittedTable(COLUMNS, rowsWith(endsOf(ids)), columns);
}

/** Without the sentences, which are broken where there is no room. */
function widestRow(text: string): number {
  return widest(
    text
      .split("\n")
      .filter((line) => !line.startsWith(" "))
      .join("\n"),
  );
}

function rowOf(task: Listed, id: string, { colour, now = wallTime() }: Look): Row {
  const { status, user = "-", gpu_id, model = "-", created_at, started_at, finished_at, error } = task;
  const isQueued = status === "queued";
  const waited = between(created_at, started_at ?? (isQueued ? isoOf(now) : null));
  const ran = isQueued ? null : between(started_at, finished_at ?? isoOf(now));
  return {
    cells: [
      id,
      paintedStatus(status, colour),
      user,
      gpu_id === null ? "-" : String(gpu_id),
      model,
      whenOf(created_at, now),
      waited === null ? "-" : tookWords(waited),
      ran === null ? "-" : tookWords(ran),
      tokensOf(task),
    ],
    under: status === "failed" ? (error ?? null) : null,
  };
}

function tokensOf({ usage, result }: Listed): string {
  const { completion_tokens: tokens } = usage ?? result?.usage ?? {};
  return tokens === undefined ? "-" : String(tokens);
}

function isoOf(now: number): string {
  return new Date(now).toISOString();
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A time for `since` and `until`: "30m" is half an hour ago; all else goes to the server as it is. */
export function timeGiven(text: string, now = wallTime()): string {
  const [, count, unit] = /^(\d{1,7})([smhd])$/.exec(text.trim()) ?? [];
  return unit === undefined ? text : isoOf(now - Number(count) * UNITS[unit]! * 1000);
}
