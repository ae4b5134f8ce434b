/** What a task's attempts have to look like, and how those of all tasks go together. */
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { type TaskRecord } from "./ledger.ts";
import { type LoadParts } from "./load.ts";
import { SHAPE } from "./world.ts";

type Attempt = TaskView["attempts"][number];

/** Milliseconds that may pass between the server's look at the clock and what it then writes down. */
const SAME_MOMENT = 100;

type Parts = LoadParts & { readonly stepped: boolean };

export function checkAttempts({ report, stepped }: Parts, task: TaskRecord, view: TaskView): void {
  const { attempts, status, gpu_id, deadline_at } = view;
  report.check(
    "attempts",
    attempts.every(isSound) && isLastAlone(attempts),
    `the attempts of ${task.id} are wrong`,
    view,
  );
  report.check("times", isForward(view), `the times of ${task.id} go backwards`, view);
  const last = attempts.at(-1);
  if (status === "completed" || view.result !== undefined) {
    const holds = last?.gpu_id === gpu_id && last.reason === (view.error_code === "timeout" ? "timeout" : status);
    report.check("run", holds, `task ${task.id} has a result without a run`, view);
  }
  if (status === "completed") report.check("run", view.result !== undefined, `task ${task.id} has no result`, view);
  if (deadline_at !== null && !stepped) {
    const tooLate = Date.parse(deadline_at) + SAME_MOMENT;
    const holds = attempts.every(({ started_at }) => Date.parse(started_at) < tooLate);
    report.check("late", holds, `task ${task.id} was started when its time was up`, view);
  }
  const { pinnedGpuId } = task.submission;
  if (pinnedGpuId !== null) {
    const holds = attempts.every((attempt) => attempt.gpu_id === pinnedGpuId);
    report.check("pinned", holds, `task ${task.id} was to run on GPU ${pinnedGpuId}`, view);
  }
  for (const [number, gpuId] of task.placed) {
    const holds = attempts[number - 1]?.gpu_id === gpuId;
    report.check("placed", holds, `a stream said that attempt ${number} of ${task.id} was on GPU ${gpuId}`, view);
  }
}

function isSound({ ended_at, reason }: Attempt): boolean {
  return ended_at !== null && reason !== null;
}

/** Only the last one can have ended the task. */
function isLastAlone(attempts: readonly Attempt[]): boolean {
  return attempts.slice(0, -1).every(({ reason }) => !FINAL.has(reason!));
}

/** All times of a task in the order in which they have to be. ISO 8601 sorts as text. */
function isForward({ created_at, attempts, finished_at }: TaskView): boolean {
  const times = [created_at, ...attempts.flatMap(({ started_at, ended_at }) => [started_at, ended_at]), finished_at];
  const known = times.filter((time) => time !== null);
  return known.every((time, index) => index === 0 || known[index - 1]! <= time);
}

const FINAL: ReadonlySet<string> = new Set(["completed", "failed", "canceled", "timeout"]);

/** A time in which a task had a slot. */
interface Span {
  readonly task: TaskRecord;
  readonly view: TaskView;
  readonly gpuId: number;
  /** Unix milliseconds; the end is no part of it. */
  readonly from: number;
  readonly to: number;
  /** A worker had died under the task before. */
  readonly isSuspect: boolean;
}

/** Nobody had more slots at once than there are. */
export function checkOverlaps({ report }: LoadParts, views: ReadonlyMap<TaskRecord, TaskView>): void {
  const spans = [...views].flatMap(([task, view]) => spansOf(task, view)).toSorted((a, b) => a.from - b.from);
  const users = Map.groupBy(spans, ({ task }) => task.user.name);
  for (const [gpuId, own] of Map.groupBy(spans, (span) => span.gpuId)) {
    const crowd = findCrowd(own, SHAPE.slots);
    report.check("slots", crowd === null, `GPU ${gpuId} ran more than ${SHAPE.slots} tasks at once`, crowd);
    for (const suspect of own.filter(({ isSuspect }) => isSuspect)) {
      const beside = own.find((other) => other !== suspect && overlaps(other, suspect));
      report.check("alone", beside === undefined, `${suspect.task.id} did not run alone`, [suspect.view, beside?.view]);
    }
  }
  for (const [user, most] of Object.entries(SHAPE.maxRunning)) {
    const crowd = findCrowd(users.get(user) ?? [], most);
    report.check("capped", crowd === null, `${user} had more than ${most} tasks running`, crowd);
  }
}

/** Those of which it is known when they ended: what a dead server had not written yet, or could not, is open at the next start. */
function spansOf(task: TaskRecord, view: TaskView): Span[] {
  const spans = view.attempts.map(({ gpu_id, started_at, ended_at, reason }, index) => ({
    task,
    view,
    gpuId: gpu_id,
    from: Date.parse(started_at),
    to: reason === "server_restart" || ended_at === null ? null : Date.parse(ended_at),
    isSuspect: view.attempts.slice(0, index).some((attempt) => attempt.reason === "worker_crash"),
  }));
  return spans.filter((span): span is Span => span.to !== null);
}

/** @param spans by their beginning @returns more than `most` of them at one moment; null: there are none */
function findCrowd(spans: readonly Span[], most: number): readonly TaskView[] | null {
  let running: Span[] = [];
  for (const span of spans) {
    running = [...running.filter(({ to }) => to > span.from), span];
    if (running.length > most && span.to > span.from) return running.map(({ view }) => view);
  }
  return null;
}

function overlaps(a: Span, b: Span): boolean {
  return a.from < b.to && b.from < a.to;
}
