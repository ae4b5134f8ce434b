/** One client, which does whatever its dice say with its own tasks, and holds the server to what it was told. */
import { setTimeout as sleep } from "node:timers/promises";
import { type BatchView } from "../src/http/schemas/batches.ts";
import { type GpusAnswer } from "../src/http/schemas/gpus.ts";
import { type TasksAnswer, type TaskSummary, type TaskView } from "../src/http/schemas/tasks.ts";
import { isFinal, type TaskStatus } from "../src/task.ts";
import { type Answer } from "./api.ts";
import { BatchFiles } from "./batch-files.ts";
import { type Dice } from "./dice.ts";
import { type Submission, type TaskRecord } from "./ledger.ts";
import { ResponseStream } from "./response-stream.ts";
import { TaskStream } from "./stream.ts";
import { askingFor, Submitter, type SubmitterParts } from "./submitter.ts";

/** Tasks that wait or run, above which it waits for one of them. */
const MANY = 24;
/** Tasks and batches that it still remembers. */
const REMEMBERED = 80;

export class Client {
  readonly #parts: SubmitterParts;
  readonly #dice: Dice;
  readonly #submitter: Submitter;
  readonly #files: BatchFiles;
  #mine: TaskRecord[] = [];
  #batches: Submission[] = [];

  constructor(parts: SubmitterParts) {
    this.#parts = parts;
    this.#dice = parts.dice;
    this.#submitter = new Submitter(parts);
    this.#files = new BatchFiles(parts);
  }

  /** Goes on until the signal aborts, and then finishes what it has begun. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#act();
      if (this.#open().length > MANY) await this.#get(this.#dice.pick(this.#open()), 3);
      await sleep(this.#dice.between(0, 40));
    }
  }

  /** Many submissions at once. */
  async burst(): Promise<void> {
    const many = Array.from({ length: this.#dice.between(4, 12) }, () => this.#submitter.newTask());
    await Promise.all(many.map((submission) => this.#submit(submission)));
  }

  async #act(): Promise<void> {
    const act = this.#dice.weigh<() => Promise<void>>([
      [20, () => this.#single()],
      [5, () => this.#batch()],
      [8, () => this.#stream()],
      [6, () => this.#follow()],
      [8, () => this.#cancel()],
      [2, () => this.#cancelMany()],
      [2, () => this.#cancelBatch()],
      [4, () => this.#retry()],
      [3, () => this.#remove()],
      [6, () => this.#look()],
      [3, () => this.#list()],
      [3, () => this.#lookAtBatch()],
      [2, () => this.#readResults()],
      [2, () => this.#again()],
      [6, () => this.#respond()],
      [6, () => this.#files.act()],
    ]);
    await act();
  }

  // --- submitting ------------------------------------------------------------------------------------------------

  async #single(): Promise<void> {
    const submission = this.#submitter.newTask();
    await this.#submit(submission, this.#dice.chance(0.3) ? { prefer: `wait=${this.#dice.between(1, 3)}` } : {});
  }

  async #batch(): Promise<void> {
    const submission = this.#submitter.newBatch();
    await this.#submit(submission);
    if (submission.batchId !== null) this.#batches = [...this.#batches, submission].slice(-REMEMBERED);
  }

  async #submit(submission: Submission, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#remember(await this.#submitter.submit(submission, headers));
  }

  /** Submits a task and reads it as it is made; some leave before its end. */
  async #stream(): Promise<void> {
    const leaves = this.#dice.chance(0.2);
    const cancels = leaves && this.#dice.chance(0.5);
    const opened = await this.#submitter.open(this.#submitter.newTask({ stream: true, cancel_on_disconnect: cancels }));
    if (opened === null) return;
    const { task, flow } = opened;
    task.cancelAsked ||= cancels;
    this.#remember([task]);
    await new TaskStream(this.#parts, task).follow(flow, leaves ? this.#dice.between(1, 3) : Infinity);
  }

  /** A key that was answered before is answered the same; with another body it is refused. */
  async #again(): Promise<void> {
    const { api, user, report, webhookUrl } = this.#parts;
    const submission = this.#any((task) => maySendAgain(task.submission))?.submission;
    if (submission === undefined) return;
    const asking = askingFor(submission);
    const isOther = this.#dice.chance(0.3);
    const body = isOther ? { ...asking.body, webhook_url: `${webhookUrl}/other` } : asking.body!;
    const answer = await api.ask(user, "POST", submission.path, { ...asking, body });
    if (answer === null || answer.status === 503 || answer.status === 429) return;
    if (!isOther) return this.#submitter.accept(submission, answer);
    report.check("key", answer.status === 409, `another body for ${submission.tag} was answered`, answer);
  }

  async #retry(): Promise<void> {
    const { api, user, ledger } = this.#parts;
    const task = this.#any(({ final, removal, item }) => final !== null && removal === "no" && item.kind !== "crash");
    if (task === undefined) return;
    const answer = await api.ask(user, "POST", `/task/${task.id}/retry`);
    if (answer === null || answer.unsure) task.unsureRetries++;
    else if (answer.status === 200) this.#remember([ledger.retried(task, (answer.body as TaskSummary).task_id)]);
    else if (task.removal === "no") this.#submitter.expectRefusal(`retrying ${task.id}`, answer);
  }

  /** A response in the background, with a reader that leaves and comes back. */
  async #respond(): Promise<void> {
    const [task] = await this.#submitter.submit(this.#submitter.newResponse());
    if (task === undefined) return;
    this.#remember([task]);
    await new ResponseStream(this.#parts, task).follow(this.#dice.between(1, 20));
  }

  // --- reading ---------------------------------------------------------------------------------------------------

  async #follow(): Promise<void> {
    const task = this.#any(({ final }) => final === null || this.#dice.chance(0.1));
    if (task !== undefined) await new TaskStream(this.#parts, task).follow(null);
  }

  async #look(): Promise<void> {
    const task = this.#any(() => true);
    if (task !== undefined) await this.#get(task, this.#dice.chance(0.4) ? this.#dice.between(1, 3) : 0);
  }

  async #get(task: TaskRecord, wait: number): Promise<void> {
    const { api, user, report } = this.#parts;
    const answer = await api.ask(user, "GET", `/task/${task.id}${wait > 0 ? `?wait=${wait}` : ""}`);
    if (answer?.status === 200) this.#observe(answer.body as TaskView, answer.askedAt);
    else if (answer !== null)
      report.check("kept", task.removal !== "no", `asking for ${task.id} gave ${answer.status}`, answer.body);
  }

  async #list(): Promise<void> {
    const { api, user, report, shape } = this.#parts;
    const answer = await api.ask(user, "GET", `/tasks?limit=${this.#dice.between(1, 50)}`);
    if (answer?.status === 200)
      for (const view of Object.values((answer.body as TasksAnswer).tasks)) this.#observe(view, answer.askedAt);
    const gpus = await api.ask(user, "GET", "/gpus");
    if (gpus?.status !== 200) return;
    for (const gpu of (gpus.body as GpusAnswer).gpus)
      report.check("slots", gpu.task_count <= shape.slots && gpu.load >= 0, `GPU ${gpu.id} runs too much`, gpu);
  }

  async #lookAtBatch(): Promise<void> {
    const { api, user, report } = this.#parts;
    const batch = this.#anyBatch();
    const answer = batch && (await api.ask(user, "GET", `/batch/${batch.batchId}`));
    if (answer?.status !== 200) return;
    const { counts, total, size } = answer.body as BatchView;
    const sum = Object.values(counts).reduce((all, count) => all + count, 0);
    const holds = sum === total && total <= size && size === batch!.items.length;
    report.check("batch", holds, `batch ${batch!.batchId} is uneven`, answer.body);
  }

  /** The results as they come; a server that dies breaks them off. */
  async #readResults(): Promise<void> {
    const { api, user, report } = this.#parts;
    const batch = this.#anyBatch();
    const flow = batch && (await api.open(user, "GET", `/batch/${batch.batchId}/results`));
    if (flow?.response.status !== 200) return;
    const text = await api.readText(flow, `the results of batch ${batch!.batchId}`);
    if (text === null) return;
    const views = text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as TaskView);
    for (const view of views) this.#observe(view, flow.askedAt);
    const isOnce = new Set(views.map(({ task_id }) => task_id)).size === views.length;
    const holds = isOnce && views.every(({ status }) => isFinal(status));
    report.check("results", holds, `the results of batch ${batch!.batchId} are not its ends`, views);
  }

  // --- changing --------------------------------------------------------------------------------------------------

  async #cancel(): Promise<void> {
    const { api, user, report } = this.#parts;
    const task = this.#any(({ final }) => final === null || this.#dice.chance(0.1));
    if (task === undefined) return;
    task.cancelAsked ||= task.final === null;
    const answer = await api.ask(user, "POST", `/task/${task.id}/cancel`, this.#dice.chance(0.5) ? { body: {} } : {});
    if (answer === null || answer.status === 503) return;
    if (answer.status === 200) this.#expectCanceled(task, answer);
    else if (answer.status === 409) this.#expectEnded(task, answer);
    else report.check("kept", task.removal !== "no", `canceling ${task.id} gave ${answer.status}`, answer.body);
  }

  #expectCanceled({ id }: TaskRecord, { body, askedAt }: Answer): void {
    const view = body as TaskView;
    this.#parts.report.check("canceled", view.status === "canceled", `canceling ${id} left it ${view.status}`, view);
    this.#observe(view, askedAt);
  }

  #expectEnded(task: TaskRecord, { body, askedAt }: Answer): void {
    const { status } = body as { status: TaskStatus };
    this.#parts.report.check("final", isFinal(status), `${task.id} cannot be canceled, but is ${status}`, body);
    this.#parts.ledger.observeStatus(task, status, askedAt);
  }

  async #cancelMany(): Promise<void> {
    const { api, user, report } = this.#parts;
    const tasks = this.#open().filter(() => this.#dice.chance(0.3));
    if (tasks.length === 0) return;
    for (const task of tasks) task.cancelAsked = true;
    const filter = this.#dice.chance(0.5) ? { status: this.#dice.pick(["queued", "running"]) } : {};
    const body = { task_ids: tasks.map(({ id }) => id), ...filter };
    const answer = await api.ask(user, "POST", "/tasks/cancel", { body });
    if (answer === null || answer.status === 503) return;
    const { canceled } = answer.body as { canceled: number };
    const holds = answer.status === 200 && canceled <= tasks.length;
    report.check("valid", holds, `canceling ${tasks.length} tasks gave ${answer.status}`, answer.body);
  }

  async #cancelBatch(): Promise<void> {
    const { api, user } = this.#parts;
    const batch = this.#anyBatch();
    if (batch === undefined) return;
    for (const task of batch.tasks!) task.cancelAsked ||= task.final === null;
    await api.ask(user, "POST", `/batch/${batch.batchId}/cancel`);
  }

  async #remove(): Promise<void> {
    const { api, user, report } = this.#parts;
    const task = this.#any(({ final, removal }) => final !== null && removal === "no");
    if (task === undefined) return;
    task.removal = "unsure";
    this.#mine = this.#mine.filter((other) => other !== task);
    const answer = await api.ask(user, "DELETE", `/task/${task.id}`);
    if (answer === null || answer.status === 503) return;
    if (!report.check("kept", answer.status === 200, `removing ${task.id} gave ${answer.status}`, answer.body)) return;
    task.removal = "yes";
    report.counts.removed++;
    this.#observe(answer.body as TaskView, answer.askedAt);
  }

  // --- what it remembers -----------------------------------------------------------------------------------------

  #observe(view: TaskView, askedAt: number): void {
    this.#parts.ledger.observe(view, askedAt, this.#parts.api.tick());
  }

  #remember(tasks: readonly TaskRecord[]): void {
    this.#mine = [...this.#mine, ...tasks].slice(-REMEMBERED);
  }

  #open(): TaskRecord[] {
    return this.#mine.filter(({ final }) => final === null);
  }

  #any(suits: (task: TaskRecord) => boolean): TaskRecord | undefined {
    const tasks = this.#mine.filter(suits);
    return tasks.length === 0 ? undefined : this.#dice.pick(tasks);
  }

  #anyBatch(): Submission | undefined {
    return this.#batches.length === 0 ? undefined : this.#dice.pick(this.#batches);
  }
}

/** A stream would have to be read. */
function maySendAgain({ key, body, tasks }: Submission): boolean {
  return key !== null && !("stream" in body) && tasks !== null;
}
