/** Whether a task ended as its text, its clients and the deaths of workers allow. */
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { FATE, fullText, mayTimeOut } from "./kinds.ts";
import { type TaskRecord } from "./ledger.ts";
import { type Lives } from "./lives.ts";
import { type LoadParts } from "./load.ts";

/** `tasks.max_attempts`. */
const MAX_ATTEMPTS = 3;
/** Deaths of workers on which a task ran alone that make it poison. */
const POISONOUS = 2;
/** Milliseconds in which a server sees that a worker does nothing any more. */
const SLOW_DEATH = 15_000;

type Parts = LoadParts & { readonly lives: Lives; readonly stepped: boolean };

export async function checkEnd(parts: Parts, task: TaskRecord, view: TaskView): Promise<void> {
  const { report } = parts;
  await checkText(parts, task, view);
  if (view.status === "canceled") report.check("canceled", task.cancelAsked, `nobody asked to cancel ${task.id}`, view);
  if (view.status === "completed") {
    const holds = FATE[task.item.kind] === null;
    report.check("failure", holds, `task ${task.id} cannot have been completed`, view);
  }
  if (view.status === "failed") checkFailure(parts, task, view);
  if (task.item.kind !== "crash" && !parts.stepped) checkInnocence(parts, view);
}

async function checkText({ report }: Parts, { id, item }: TaskRecord, view: TaskView): Promise<void> {
  const { result, status } = view;
  if (result === undefined) return;
  const full = await fullText(item);
  const isAll = result.text === full && result.finish_reason === "length";
  const holds = status === "completed" ? isAll : full.startsWith(result.text);
  const tokens = result.text === "" ? 0 : result.text.trim().split(" ").length;
  const isCounted = result.usage.completion_tokens === tokens;
  report.check("text", holds && isCounted, `task ${id} should have the text ${JSON.stringify(full)}`, view);
}

function checkFailure({ report, stepped }: Parts, { id, item }: TaskRecord, view: TaskView): void {
  const { error, error_code: code, attempts } = view;
  const counted = attempts.filter(({ reason, alone }) => COUNTED.has(reason!) || (reason === "worker_crash" && alone));
  const alone = counted.filter(({ reason }) => reason === "worker_crash");
  const isAllowed = {
    poison: alone.length === POISONOUS,
    timeout: mayTimeOut(item) && (stepped || view.finished_at! >= view.deadline_at!),
    model_error: item.kind === "error" && attempts.at(-1)?.reason === "failed",
    out_of_memory: FATE[item.kind] === "out_of_memory" || item.kind === "oom0",
    worker_crash: true,
    gpu_lost: true,
  }[code ?? ""];
  const isRetried = code === "worker_crash" || code === "gpu_lost" || code === "out_of_memory";
  const isTriedOut = !isRetried || (counted.length >= MAX_ATTEMPTS && attempts.at(-1)!.reason === code);
  const holds = isAllowed === true && isTriedOut && typeof error === "string" && error.endsWith(".");
  report.check("failure", holds, `task ${id} may not fail like that`, view);
}

const COUNTED: ReadonlySet<string> = new Set(["gpu_lost", "out_of_memory"]);

/**
 * A task that harms nobody was alone when its worker died, so it must have been the suite that killed or stopped it. Each blow is for
 * one worker only, and so explains one such death.
 */
function checkInnocence({ lives, report }: Parts, view: TaskView): void {
  for (const { gpu_id, ended_at, alone } of view.attempts) {
    if (alone !== true) continue;
    const diedAt = Date.parse(ended_at!);
    const index = lives.wounds.findLastIndex(
      ({ gpuId, at }) => gpuId === gpu_id && at <= diedAt && diedAt - at < SLOW_DEATH,
    );
    report.check("innocent", index >= 0, `nobody has harmed the worker of GPU ${gpu_id} under ${view.task_id}`, view);
    if (index >= 0) lives.wounds.splice(index, 1);
  }
}
