/**
 * The spans of tasks: `queue` for each wait, `placement` for the choice of a GPU, and one named for the operation and the model for each run.
 * They belong to the trace of the request that brought the task, however long that has been answered. A task without such a request, like
 * one that an earlier run of the server left, has a trace of its own, under a span `task`.
 *
 * Tasks may wait by the hundred thousand, so a waiting task has no span: it is made when the wait is over.
 */
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import { type InstanceRef } from "../../gpu/facts.ts";
import { sentenceOf } from "../../reasons.ts";
import { attemptNumber, type Outcome, type Task } from "../../task.ts";
import {
  TASK_ACCEPTED,
  TASK_ENDED,
  TASK_LEFT,
  TASK_OUTPUT,
  TASK_REQUEUED,
  TASK_STARTED,
  TASK_WITHDRAWN,
} from "../../topics.ts";
import { operationOf, requestAttributes, responseAttributes } from "./gen-ai.ts";
import { type RequestSpans } from "./request-spans.ts";
import { contextOf } from "./trace-context.ts";

/** Ended tasks and batches whose traces are remembered, for their webhooks. */
const REMEMBERED = 10_000;

interface Live {
  readonly context: Context;
  /** The span around all others, where no request is; null: there is one. */
  readonly own: Span | null;
  /** When its present wait began; null: it does not wait. */
  waitsSince: number | null;
  run: Span | null;
}

export class TaskSpans {
  readonly #tracer: Tracer;
  readonly #requests: RequestSpans;
  readonly #live = new Map<string, Live>();
  /** By the ids of tasks that have ended, and of batches; the oldest first. */
  readonly #ended = new Map<string, Context>();
  readonly #ends: readonly (() => void)[];
  /** Of this turn of the event loop: a task that starts at once does so before it is told as accepted. */
  readonly #started = new Map<string, { readonly at: number; readonly instance: InstanceRef }>();

  constructor(tracer: Tracer, requests: RequestSpans) {
    this.#tracer = tracer;
    this.#requests = requests;
    this.#ends = [
      TASK_ACCEPTED.subscribe(({ task, origin = null }) => this.#accepted(task, origin)),
      TASK_STARTED.subscribe(({ task, instance }) => this.#onStart(task, instance)),
      TASK_OUTPUT.subscribe(({ task, isFirst }) => {
        if (isFirst) this.#live.get(task.id)?.run?.addEvent("first_token", moment());
      }),
      TASK_LEFT.subscribe(({ task, outcome }) => this.#left(task, outcome)),
      TASK_REQUEUED.subscribe(({ task }) => this.#requeued(task)),
      TASK_ENDED.subscribe(({ task }) => this.#over(task, task.status)),
      TASK_WITHDRAWN.subscribe(({ task }) => this.#over(task, "withdrawn")),
    ];
  }

  /** Ends what is open: the server stops. */
  stop(): void {
    for (const end of this.#ends) end();
    for (const { run, own } of this.#live.values()) {
      run?.setAttribute("altlas.task.status", "interrupted").end();
      own?.end();
    }
    this.#live.clear();
  }

  /** The trace that a task or a batch belongs to, also for some time after its end; null: it is not known. */
  contextFor(id: string): Context | null {
    return this.#live.get(id)?.context ?? this.#ended.get(id) ?? null;
  }

  #accepted(task: Readonly<Task>, origin: object | null): void {
    const parent = origin === null ? null : this.#requests.contextFor(origin);
    const started = this.#started.get(task.id);
    const live = this.#begin(task, parent, started?.at ?? moment());
    if (task.batchId !== null) this.#remember(task.batchId, live.context);
    if (started === undefined) return;
    this.#started.delete(task.id);
    this.#start(task, live, started);
  }

  #begin(task: Readonly<Task>, parent: Context | null, at: number): Live {
    const options = { startTime: at, attributes: attributesOf(task) };
    const own = parent === null ? this.#tracer.startSpan("task", options, ROOT_CONTEXT) : null;
    const live: Live = { context: parent ?? contextOf(own!), own, waitsSince: at, run: null };
    this.#live.set(task.id, live);
    return live;
  }

  #onStart(task: Readonly<Task>, instance: InstanceRef): void {
    const started = { at: moment(), instance };
    const live = this.#live.get(task.id);
    if (live !== undefined) return this.#start(task, live, started);
    this.#started.set(task.id, started);
    queueMicrotask(() => {
      // An earlier run of the server has accepted it.
      if (this.#started.delete(task.id)) this.#start(task, this.#begin(task, null, started.at), started);
    });
  }

  #start(
    task: Readonly<Task>,
    live: Live,
    { at, instance }: { readonly at: number; readonly instance: InstanceRef },
  ): void {
    this.#endWait(task, live, at);
    const { placement } = task;
    const where = { "altlas.gpu.id": instance.gpuId, "altlas.instance.id": instance.id };
    const why: Attributes =
      placement === null
        ? {}
        : {
            "altlas.placement.strategy": placement.strategy,
            "altlas.placement.reason": sentenceOf(placement.reason, placement.gpuId),
            "altlas.placement.candidates": placement.candidates.length,
          };
    this.#child("placement", live, at, { ...attributesOf(task), ...where, ...why }).end(at);
    const name = [operationOf(task), task.model ?? task.ranModel].filter(Boolean).join(" ");
    const attempt = { "altlas.task.attempt": attemptNumber(task) };
    live.run = this.#child(name, live, at, { ...attributesOf(task), ...where, ...attempt, ...requestAttributes(task) });
  }

  #child(name: string, { context }: Live, startTime: number, attributes: Attributes): Span {
    return this.#tracer.startSpan(name, { startTime, attributes }, context);
  }

  #endWait(task: Readonly<Task>, live: Live, at: number, more: Attributes = {}): void {
    if (live.waitsSince === null) return;
    this.#child("queue", live, live.waitsSince, { ...attributesOf(task), ...more }).end(at);
    live.waitsSince = null;
  }

  #left(task: Readonly<Task>, outcome: Outcome): void {
    const live = this.#live.get(task.id);
    if (live?.run == null) return;
    const { run } = live;
    switch (outcome.status) {
      case "interrupted":
        return this.#endRun(live, outcome.reason);
      case "failed":
        return this.#endRun(live, outcome.error.code);
      default:
        if (outcome.result !== undefined) run.setAttributes(responseAttributes(task, outcome.result));
        run.setAttribute("altlas.task.status", outcome.status);
        this.#endRun(live, null);
    }
  }

  /** @param error why it came to no end of its own; null: it did */
  #endRun(live: Live, error: string | null): void {
    if (error !== null) live.run?.setAttribute("error.type", error).setStatus({ code: SpanStatusCode.ERROR });
    live.run?.end(moment());
    live.run = null;
  }

  #requeued(task: Readonly<Task>): void {
    const live = this.#live.get(task.id);
    if (live === undefined) return;
    this.#endRun(live, task.attempts.at(-1)?.reason ?? null);
    live.waitsSince = moment();
  }

  #over(task: Readonly<Task>, status: string): void {
    const live = this.#live.get(task.id);
    if (live === undefined) return;
    this.#live.delete(task.id);
    const code = task.error?.code;
    const how = { "altlas.task.status": status, ...(code !== undefined && { "error.type": code }) };
    this.#endWait(task, live, moment(), how);
    this.#endRun(live, code ?? null);
    live.own?.setAttributes(how).end(moment());
    this.#remember(task.id, live.context);
  }

  #remember(id: string, context: Context): void {
    this.#ended.set(id, context);
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest);
  }
}

function attributesOf({ id, user, batchId, strategy, priority }: Readonly<Task>): Attributes {
  return {
    "altlas.task.id": id,
    "enduser.id": user,
    "altlas.strategy": strategy,
    "altlas.priority": priority,
    ...(batchId !== null && { "altlas.batch.id": batchId }),
  };
}

/** Unix milliseconds with their fractions, as the wall clock showed them when the process began to count. */
function moment(): number {
  return performance.timeOrigin + performance.now();
}
