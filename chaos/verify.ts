/** Holds the server to its promises when all has ended. */
import { type BatchView } from "../src/http/schemas/batches.ts";
import { type GpusAnswer } from "../src/http/schemas/gpus.ts";
import { type TasksAnswer, type TaskView } from "../src/http/schemas/tasks.ts";
import { isFinal } from "../src/task.ts";
import { type Answer } from "./api.ts";
import { checkAttempts, checkOverlaps } from "./check-attempts.ts";
import { checkEnd } from "./check-end.ts";
import { checkFiles, foundTasks } from "./check-files.ts";
import { essence, type Submission, type TaskRecord } from "./ledger.ts";
import { type Lives } from "./lives.ts";
import { type LoadParts } from "./load.ts";

/** Tasks on one page of the list. */
const PAGE = 200;
/** Milliseconds: two failed tries of a webhook are 20 seconds apart. */
const WEBHOOK_PATIENCE = 45_000;

export interface VerifyParts extends LoadParts {
  readonly lives: Lives;
  /** What the tasks of earlier rounds have to be still, see `essence`. */
  readonly earlier: ReadonlyMap<string, string>;
  /** The wall clock was set meanwhile: times that are shown of different tasks do not go together. */
  readonly stepped: boolean;
}

export async function verify(parts: VerifyParts): Promise<void> {
  await foundTasks(parts);
  const tags = await checkList(parts);
  const views = await checkTasks(parts);
  if (!parts.stepped) checkOverlaps(parts, views);
  await checkFiles(parts);
  for (const submission of parts.ledger.submissions.values()) await checkSubmission(parts, submission, tags);
  await checkGpus(parts);
  await checkWebhooks(parts);
}

// --- all tasks there are -----------------------------------------------------------------------------------------

/** Nothing is there that nobody was told of, and nothing of earlier rounds has changed. @returns the tags of what is there */
async function checkList({ api, ledger, report, world, earlier }: VerifyParts): Promise<ReadonlySet<string>> {
  const tags = new Set<string>();
  const missing = new Map(earlier);
  for await (const [view, askedAt] of allTasks({ api, world })) {
    const before = earlier.get(view.task_id);
    missing.delete(view.task_id);
    tags.add(view.task_type);
    if (before !== undefined) {
      report.check("final", before === essence(view), `${view.task_id} was ${before}`, view);
      continue;
    }
    const isKnown = ledger.tasks.has(view.task_id) || adopt(ledger, view);
    report.check("told", isKnown, `nobody was told of task ${view.task_id} of ${view.task_type}`, view);
    ledger.observe(view, askedAt, api.tick());
  }
  for (const id of missing.keys()) report.check("kept", false, `task ${id} of an earlier round is gone`);
  return tags;
}

async function* allTasks({ api, world }: Pick<VerifyParts, "api" | "world">): AsyncGenerator<[TaskView, number]> {
  for (let after = ""; ;) {
    const { body, askedAt } = expectAnswer(await api.ask(world.admin, "GET", `/tasks?limit=${PAGE}${after}`));
    const { tasks, next } = body as TasksAnswer;
    for (const view of Object.values(tasks)) yield [view, askedAt];
    if (next === null) return;
    after = `&after=${next}`;
  }
}

/** A task that no answer has named. @returns whether it is of a submission or a retry whose answer was lost */
function adopt(ledger: VerifyParts["ledger"], { task_id, task_type, retry_of }: TaskView): boolean {
  const submission = ledger.submissions.get(task_type);
  if (submission === undefined) return false;
  if (retry_of === undefined) {
    if (!isUnsure(submission)) return false;
    submission.tasks = [ledger.found(task_id, submission, submission.items[0]!, null)];
    return true;
  }
  const original = ledger.tasks.get(retry_of);
  if (original === undefined || original.unsureRetries-- <= 0) return false;
  ledger.found(task_id, submission, original.item, original);
  return true;
}

/** Only tasks without a key are given up without an answer, and those are single ones. */
function isUnsure({ unanswered, tasks }: Submission): boolean {
  return unanswered && tasks === null;
}

// --- each task ---------------------------------------------------------------------------------------------------

async function checkTasks(parts: VerifyParts): Promise<Map<TaskRecord, TaskView>> {
  const { ledger, report } = parts;
  const views = new Map<TaskRecord, TaskView>();
  for (const task of ledger.tasks.values()) {
    const view = await viewOf(parts, task);
    if (view === null) continue;
    views.set(task, view);
    report.check("ended", isFinal(view.status), `task ${task.id} has not ended`, view);
    checkAttempts(parts, task, view);
    await checkEnd(parts, task, view);
  }
  return views;
}

/** As it is now, or was when it was removed; null: nobody knows. */
async function viewOf({ api, ledger, report, world }: VerifyParts, task: TaskRecord): Promise<TaskView | null> {
  const answer = expectAnswer(await api.ask(world.admin, "GET", `/task/${task.id}`));
  if (task.removal === "yes") {
    report.check("removed", answer.status === 404, `task ${task.id} was removed, and is there`, answer.body);
    return task.final;
  }
  // Now it is known whether the removal got through.
  if (task.removal === "unsure") task.removal = answer.status === 404 ? "yes" : "no";
  if (task.removal === "yes") return task.final;
  if (!report.check("kept", answer.status === 200, `task ${task.id} is gone: ${answer.status}`, task.final))
    return null;
  const view = answer.body as TaskView;
  ledger.observe(view, answer.askedAt, api.tick());
  return view;
}

// --- submissions and batches -------------------------------------------------------------------------------------

/** @param tags of all tasks there are */
async function checkSubmission(parts: VerifyParts, submission: Submission, tags: ReadonlySet<string>): Promise<void> {
  const { tag, refused, batchId } = submission;
  if (refused) parts.report.check("refused", !tags.has(tag), `${tag} was refused, and has tasks`);
  if (batchId !== null) await checkBatch(parts, submission, batchId);
}

async function checkBatch(parts: VerifyParts, { tasks, items }: Submission, id: string): Promise<void> {
  const { api, report, world } = parts;
  const answer = expectAnswer(await api.ask(world.admin, "GET", `/batch/${id}`));
  const kept = tasks!.filter(isKept);
  if (answer.status === 404)
    return void report.check("kept", kept.length === 0, `batch ${id} is gone, its tasks are not`, answer.body);
  const batch = answer.body as BatchView;
  const counts = { queued: 0, running: 0, completed: 0, failed: 0, canceled: 0 };
  for (const { final } of kept) counts[final?.status ?? "queued"]++;
  const isRight = JSON.stringify(batch.counts) === JSON.stringify(counts) && batch.total === kept.length;
  const ended = counts.canceled === items.length ? "canceled" : "completed";
  const isOver = batch.status === ended && batch.finished_at !== null && batch.progress === 1;
  report.check("batch", isRight && isOver && batch.size === items.length, `batch ${id} is wrong`, { batch, counts });
  await checkResults(parts, id, tasks!);
}

async function checkResults(parts: VerifyParts, id: string, tasks: readonly TaskRecord[]): Promise<void> {
  const { api, ledger, report, world } = parts;
  const flow = (await api.open(world.admin, "GET", `/batch/${id}/results`))!;
  const lines = ((await api.readText(flow, `the results of batch ${id}`)) ?? "").split("\n").slice(0, -1);
  const views = lines.map((line) => JSON.parse(line) as TaskView & { index: number });
  for (const view of views) ledger.observe(view, flow.askedAt, api.tick());
  const places = new Map(views.map(({ index, task_id }) => [index, task_id]));
  const isRight = tasks.every((task, index) => places.get(index) === (task.removal === "no" ? task.id : undefined));
  report.check("results", isRight && places.size === views.length, `the results of batch ${id} are wrong`, views);
}

// --- the server itself -------------------------------------------------------------------------------------------

async function checkGpus({ api, report, world }: VerifyParts): Promise<void> {
  const gpus = expectAnswer(await api.ask(world.admin, "GET", "/gpus"));
  for (const gpu of (gpus.body as GpusAnswer).gpus) {
    report.check("free", gpu.task_count === 0 && gpu.load === 0, `GPU ${gpu.id} is not free`, gpu);
    report.check("ready", gpu.status === "ready", `GPU ${gpu.id} is ${gpu.status}`, gpu);
  }
  for (const status of ["queued", "running"]) {
    const { body } = expectAnswer(await api.ask(world.admin, "GET", `/tasks?status=${status}`));
    report.check("free", (body as TasksAnswer).total === 0, `tasks are still ${status}`, body);
  }
}

async function checkWebhooks({ ledger, receiver, report, api, world }: VerifyParts): Promise<void> {
  const due: string[] = [];
  for (const { id, submission, final, removal } of ledger.tasks.values())
    if (submission.hasWebhook && !submission.isBatch && removal === "no" && final !== null)
      due.push(`task.${final.status} ${id}`);
  for (const { hasWebhook, batchId, tasks } of ledger.submissions.values())
    if (hasWebhook && batchId !== null && tasks!.every(({ final }) => final) && tasks!.some(isKept))
      due.push(`batch.completed ${batchId}`);
  const missing = new Set(await receiver.missing(due, WEBHOOK_PATIENCE));
  for (const event of due) {
    const [type, id] = event.split(" ");
    const path = `/${type!.split(".")[0]}/${id}/webhooks`;
    const evidence = missing.has(event) ? (await api.ask(world.admin, "GET", path))?.body : undefined;
    report.check("webhook", !missing.has(event), `${event} did not arrive`, evidence);
  }
}

function isKept({ removal }: TaskRecord): boolean {
  return removal === "no";
}

/** Nobody harms the server now. @throws {Error} it died all the same */
function expectAnswer(answer: Answer | null): Answer {
  if (answer === null) throw new Error("the server died while it was left in peace");
  return answer;
}
