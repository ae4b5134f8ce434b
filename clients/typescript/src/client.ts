/** The client. */
import { AltLasError, TaskError } from "./errors.ts";
import { eventsOf, linesOf, Quiet, type ServerSentEvent } from "./lines.ts";
import { Patience, sleep } from "./patience.ts";
import { Transport } from "./transport.ts";
import type {
  Batch,
  BatchRequest,
  BatchResult,
  EndEvent,
  Gpu,
  ServedModel,
  PlacedEvent,
  PredictRequest,
  StreamTicket,
  SubmittedBatch,
  TaskSummary,
  Task,
  TaskEvent,
  TaskFilter,
  TaskList,
  TokenEvent,
} from "./types.ts";

/** Seconds for which the server holds an answer until a task ends. */
const WAIT = 30;
/** Methods that may be sent twice (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
/** Routes that read `Idempotency-Key`. */
const SUBMISSIONS = /^\/(?:predict|batch_predict|task\/[^/?]+\/retry)\/?(?:\?|$)/;

export interface AltLasOptions {
  /** Where the server is, with the path before `/api/v1` if it has one. */
  readonly url?: string;
  readonly apiKey: string;
  /** Seconds for which a call goes on trying while nothing works; 60 unless it is said, 0: a single try. */
  readonly retrySeconds?: number;
  /** Seconds without a byte after which a stream is opened again, which is no failure; 60 unless it is said. The server sends a comment every 15. */
  readonly idleSeconds?: number;
  /** In the place of the platform's own. */
  readonly fetch?: typeof fetch;
}

export interface CallOptions {
  /** Ends the call, not the task. */
  readonly signal?: AbortSignal | undefined;
}

export interface SubmitOptions extends CallOptions {
  /** The name of this submission: sent again within 24 hours, also by another program, it makes no second task. Drawn unless it is said. */
  readonly idempotencyKey?: string;
}

export interface FollowOptions extends CallOptions {
  /** The `id` of the last event that the program has. */
  readonly lastEventId?: string;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  /** The one that has just ended. */
  readonly task: BatchResult;
}

export interface BatchOptions extends SubmitOptions {
  /** Called for each task that ends. */
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * ALT_LAS over HTTP. Every call is sent again while the server cannot be reached, or says that it has no room: not before its
 * `Retry-After`, and for `retrySeconds` at most. No task is made twice by that.
 */
export class AltLas {
  readonly #transport: Transport;
  readonly #idle: number;

  /** @throws {TypeError} the address is none of HTTP, or the key cannot be one */
  constructor(options: AltLasOptions) {
    const { url = "http://127.0.0.1:8642", apiKey, retrySeconds = 60, idleSeconds = 60, fetch: send = fetch } = options;
    this.#transport = new Transport({ url, apiKey, retrySeconds, fetch: send });
    this.#idle = idleSeconds;
  }

  // --- tasks ---------------------------------------------------------------------------------------------------

  /** Submits a task; resolves when it is on the server's disk. */
  predict(request: PredictRequest, options: SubmitOptions = {}): Promise<TaskSummary> {
    return this.#submit("/predict", request, options);
  }

  /** Submits a task and waits for its end. @throws {TaskError} it failed or was canceled */
  async predictAndWait(request: PredictRequest, options: SubmitOptions = {}): Promise<Task> {
    const { task_id } = await this.predict(request, options);
    const task = await this.wait(task_id, options);
    if (task.status !== "completed") throw new TaskError(task);
    return task;
  }

  /** Waits for the end of a task, whichever it is. */
  async wait(taskId: string, { signal }: CallOptions = {}): Promise<Task> {
    for (;;) {
      const path = `${pathOf("task", taskId)}?wait=${WAIT}`;
      const began = performance.now();
      const task = await this.#transport.json<Task>({ path, signal, seconds: WAIT + 30 });
      if (isEnd(task.status)) return task;
      // A server that stops holds no answers, and would be asked in a circle.
      if (performance.now() - began < 1000) await sleep(1000, signal);
    }
  }

  /** A task as it is now. */
  task(taskId: string, { signal }: CallOptions = {}): Promise<Task> {
    return this.#transport.json({ path: pathOf("task", taskId), signal });
  }

  /** A page of tasks, newest first; `next` is the `after` of the page that follows. */
  tasks(filter: TaskFilter = {}, { signal }: CallOptions = {}): Promise<TaskList> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(filter)) if (value !== undefined) query.set(name, String(value));
    return this.#transport.json({ path: `/tasks?${query}`, signal });
  }

  /** Stops a task, and returns it as it is then. One that was canceled before is no error. @throws {AltLasError} `conflict`: it has ended otherwise */
  async cancel(taskId: string, { signal }: CallOptions = {}): Promise<Task> {
    try {
      return await this.#transport.json({ method: "POST", path: `${pathOf("task", taskId)}/cancel`, signal });
    } catch (error) {
      // So it is, too, when the answer to the first try was lost.
      if (isCanceledAlready(error)) return this.task(taskId, { signal });
      throw error;
    }
  }

  // --- streams -------------------------------------------------------------------------------------------------

  /** Submits a task and tells what happens to it, to its end. A program that stops reading does not stop the task: `cancel` does. */
  async *stream(request: PredictRequest, options: SubmitOptions = {}): AsyncGenerator<TaskEvent, void> {
    const { task_id } = await this.predict(request, options);
    yield* this.follow(task_id, { signal: options.signal });
  }

  /** Tells what happens to a task, to its end. Where the connection is cut, it goes on behind the last event. */
  async *follow(taskId: string, { lastEventId, signal }: FollowOptions = {}): AsyncGenerator<TaskEvent, void> {
    const patience = new Patience(this.#transport.retrySeconds, signal);
    let last = lastEventId;
    for (;;) {
      try {
        const headers = { ...(last !== undefined && { "last-event-id": last }) };
        const response = await this.#transport.open({ path: `${pathOf("task", taskId)}/events`, headers, signal });
        if (response.status === 204) return;
        patience.opened();
        for await (const sent of eventsOf(response, this.#idle)) {
          const event = taskEventOf(sent);
          if (event === null) continue;
          patience.reset();
          last = event.id;
          yield event;
          if ("task" in event) return;
        }
        throw brokenOff();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Quiet)) await patience.after(error);
      }
    }
  }

  // --- batches -------------------------------------------------------------------------------------------------

  /** Submits several tasks, all or none. */
  submitBatch(request: BatchRequest, options: SubmitOptions = {}): Promise<SubmittedBatch> {
    return this.#submit("/batch_predict", request, options);
  }

  /** Submits several tasks and waits for all. They come in the order of the items, also those that failed. @throws {AltLasError} `results_gone` */
  async batch(request: BatchRequest, options: BatchOptions = {}): Promise<BatchResult[]> {
    const { batch_id, tasks } = await this.submitBatch(request, options);
    const total = tasks.length;
    const results = new Map<number, BatchResult>();
    for await (const task of this.results(batch_id!, { signal: options.signal })) {
      results.set(task.index, task);
      options.onProgress?.({ done: results.size, total, task });
    }
    const missing = total - results.size;
    if (missing > 0)
      throw new AltLasError(
        "results_gone",
        `${missing} of ${total} results of the batch ${batch_id} are not kept any more.`,
      );
    return [...results.values()].toSorted((a, b) => a.index - b.index);
  }

  /** The tasks of a batch, each once, in the order in which they end. */
  async *results(batchId: string, { signal }: CallOptions = {}): AsyncGenerator<BatchResult, void> {
    const patience = new Patience(this.#transport.retrySeconds, signal);
    const told = new Set<number>();
    for (;;) {
      try {
        // Asked before: what ends while the lines come may be in the next reading only.
        const { finished_at, size } = await this.#transport.once<Batch>({ path: pathOf("batch", batchId), signal });
        const response = await this.#transport.open({ path: `${pathOf("batch", batchId)}/results`, signal });
        patience.opened();
        for await (const line of linesOf(response, this.#idle)) {
          if (line === "") continue;
          const task = JSON.parse(line) as BatchResult;
          if (told.has(task.index)) continue;
          patience.reset();
          told.add(task.index);
          yield task;
        }
        if (finished_at !== null || told.size >= size) return;
        throw brokenOff();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Quiet)) await patience.after(error);
      }
    }
  }

  /** How far a batch is. */
  batchState(batchId: string, { signal }: CallOptions = {}): Promise<Batch> {
    return this.#transport.json({ path: pathOf("batch", batchId), signal });
  }

  /** Cancels the tasks of a batch that have not ended, and returns it as it is then. @throws {AltLasError} `conflict`: all had ended */
  async cancelBatch(batchId: string, { signal }: CallOptions = {}): Promise<Batch> {
    let isLost = false;
    const onLost = (): void => void (isLost = true);
    try {
      return await this.#transport.json({ method: "POST", path: `${pathOf("batch", batchId)}/cancel`, signal, onLost });
    } catch (error) {
      // A try whose answer was lost may have canceled it, though some of its tasks had ended before, as which it then counts.
      if (isCanceledAlready(error) || (isLost && isConflict(error))) return this.batchState(batchId, { signal });
      throw error;
    }
  }

  // --- the server ----------------------------------------------------------------------------------------------

  async models({ signal }: CallOptions = {}): Promise<ServedModel[]> {
    return (await this.#transport.json<{ models: ServedModel[] }>({ path: "/models", signal })).models;
  }

  async gpus({ signal }: CallOptions = {}): Promise<Gpu[]> {
    return (await this.#transport.json<{ gpus: Gpu[] }>({ path: "/gpus", signal })).gpus;
  }

  /** The secret for `verifyWebhook`. */
  async webhookSecret({ signal }: CallOptions = {}): Promise<string> {
    return (await this.#transport.json<{ secret: string }>({ path: "/webhook_secret", signal })).secret;
  }

  /** An address with which a browser's `EventSource` can follow a task without any key, for 60 seconds and then for as long as it does. */
  async eventsUrl(taskId: string, { signal }: CallOptions = {}): Promise<string> {
    const path = `/api/v1${pathOf("task", taskId)}/events`;
    const call = { method: "POST", path: "/stream_ticket", body: { path }, signal };
    const { ticket } = await this.#transport.json<StreamTicket>(call);
    return `${this.#transport.url}${path}?ticket=${encodeURIComponent(ticket)}`;
  }

  /** The server's version. */
  version(): Promise<string> {
    return this.#transport.version();
  }

  /**
   * Any other route. A call that must not be made twice (POST, PATCH) is sent again only when the server itself has refused it.
   * @param path below /api/v1, with its query
   */
  request<Answer>(method: string, path: string, body?: unknown, { signal }: CallOptions = {}): Promise<Answer> {
    const verb = method.toUpperCase();
    if (verb === "POST" && SUBMISSIONS.test(path)) return this.#submit(path, body, { signal });
    const repeats = IDEMPOTENT.has(verb);
    return this.#transport.json({ method: verb, path, body, signal, ...(!repeats && { onLost: giveUp }) });
  }

  #submit<Answer>(path: string, body: unknown, { idempotencyKey = newKey(), signal }: SubmitOptions): Promise<Answer> {
    const headers = { "idempotency-key": idempotencyKey };
    return this.#transport.json({ method: "POST", path, body, headers, signal });
  }
}

/** A path, whatever an id has in it. */
function pathOf(kind: string, id: string): string {
  return `/${kind}/${encodeURIComponent(id)}`;
}

/** Not `randomUUID`, which browsers have on secure pages only. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isEnd(status: string): boolean {
  return status === "completed" || status === "failed" || status === "canceled";
}

function giveUp(failure: AltLasError): never {
  throw failure;
}

function isConflict(error: unknown): error is AltLasError {
  return error instanceof AltLasError && error.code === "conflict";
}

function isCanceledAlready(error: unknown): boolean {
  return isConflict(error) && error.conflictStatus === "canceled";
}

function brokenOff(): AltLasError {
  return new AltLasError("no_connection", "The stream broke off.", { isTemporary: true });
}

/** null: one that this client does not know. */
function taskEventOf({ name, id, data }: ServerSentEvent): TaskEvent | null {
  if (name === "placed") return { ...(JSON.parse(data) as Omit<PlacedEvent, "type" | "id">), type: name, id };
  if (name === "token") return { ...(JSON.parse(data) as Omit<TokenEvent, "type" | "id">), type: name, id };
  if (isEnd(name)) return { type: name as EndEvent["type"], id, task: JSON.parse(data) as Task };
  return null;
}
