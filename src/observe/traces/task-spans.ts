/**
 * The spans of tasks: `queue` for each wait, `placement` for the choice of a GPU, and one named for the operation and the model for each run.
 * They belong to the trace of the request that brought the task, however long that has been answered. A task without such a request, like
 * one that an earlier run of the server left, has a trace of its own, under a span `task`.
 *
 * A task is told as started before it is told with its request, and most of its life's figures are in the task itself: so its spans are
 * written together when its run ends.
 */
import { InFlight } from "../../common/in-flight.ts";
import type { InstanceRef } from "../../gpu/facts.ts";
import { sentenceOf } from "../../reasons.ts";
import { attemptNumber, type Outcome, type Placement, type Task, type TaskResult } from "../../task.ts";
import {
  TASK_ACCEPTED,
  TASK_ENDED,
  TASK_LEFT,
  TASK_REQUEUED,
  TASK_SENT_ON,
  TASK_STARTED,
  TASK_WITHDRAWN,
} from "../../topics.ts";
import { operationOf, writeRequest, writeResponse } from "./gen-ai.ts";
import { newSpanId, type SpanId } from "./ids.ts";
import type { RequestSpans } from "./request-spans.ts";
import { Common } from "./common-attributes.ts";
import { INTERNAL, keyOf, moment, type SpanBatch, type Written } from "./span-batch.ts";
import { headersOf, type TraceContext } from "./trace-context.ts";
import type { Tracer } from "./tracer.ts";

/** Ended tasks and batches whose traces are remembered, for their webhooks. */
const REMEMBERED = 10_000;

const TASK = keyOf("altlas.task.id");
const USER = keyOf("enduser.id");
const STRATEGY = keyOf("altlas.strategy");
const PRIORITY = keyOf("altlas.priority");
const BATCH = keyOf("altlas.batch.id");
const GPU = keyOf("altlas.gpu.id");
const INSTANCE = keyOf("altlas.instance.id");
const PLACED_BY = keyOf("altlas.placement.strategy");
const REASON = keyOf("altlas.placement.reason");
const CANDIDATES = keyOf("altlas.placement.candidates");
const ATTEMPT = keyOf("altlas.task.attempt");
const STATUS = keyOf("altlas.task.status");
const ERROR_TYPE = keyOf("error.type");

/** One attempt under way. Times are Unix milliseconds with their fractions. */
interface Run {
  readonly from: number;
  readonly instance: InstanceRef;
  readonly placement: Placement | null;
  readonly number: number;
  readonly model: string | null;
  /** null: nobody was told of it yet. */
  spanId: SpanId | null;
}

interface Live {
  readonly task: Readonly<Task>;
  /** Its first moment that was seen. */
  readonly from: number;
  /** The span that its own are children of; null: not known yet. */
  context: TraceContext | null;
  /** Whether that is a span around all others, as no request is. */
  isAlone: boolean;
  /** When its last wait began that was not told; null: it was told. */
  waitsSince: number | null;
  run: Run | null;
}

/** How a run, a wait or a task ended. */
interface End {
  /** null: it was cut off. */
  readonly status: string | null;
  /** The kind of failure; null: there was none. */
  readonly error: string | null;
  readonly result?: TaskResult | undefined;
}

export class TaskSpans {
  readonly #tracer: Tracer;
  readonly #requests: RequestSpans;
  readonly #live = new InFlight<string, Live>();
  /** By the ids of tasks that have ended, and of batches; the oldest first. */
  readonly #ended = new Map<string, TraceContext>();
  readonly #ends: readonly (() => void)[];

  constructor(tracer: Tracer, requests: RequestSpans) {
    this.#tracer = tracer;
    this.#requests = requests;
    this.#ends = [
      TASK_ACCEPTED.subscribe(({ task, origin }) => this.#accepted(task, origin)),
      TASK_STARTED.subscribe(({ task, instance }) => this.#started(task, instance)),
      TASK_SENT_ON.subscribe(({ task, addHeader }) => this.#sentOn(task, addHeader)),
      TASK_LEFT.subscribe(({ task, outcome }) => this.#left(task, outcome)),
      TASK_REQUEUED.subscribe(({ task }) => this.#requeued(task)),
      TASK_ENDED.subscribe(({ task }) => this.#over(task, task.status)),
      TASK_WITHDRAWN.subscribe(({ task }) => this.#over(task, "withdrawn")),
    ];
  }

  /** Ends what is open: the server stops. */
  stop(): void {
    for (const end of this.#ends) end();
    for (const live of this.#live.values()) {
      if (live.run !== null) this.#endRun(live.task, live, INTERRUPTED);
      if (live.isAlone) this.#writeOwn(live.task, live, null);
    }
    this.#live.clear();
  }

  /** The span that what a task or a batch causes belongs to, also for some time after its end; null: it is not known. */
  contextFor(taskId: string | null, batchId: string | null): TraceContext | null {
    const id = taskId ?? batchId ?? "";
    const live = this.#live.get(id);
    return live === undefined ? (this.#ended.get(id) ?? null) : this.#contextOf(live);
  }

  #accepted(task: Readonly<Task>, origin: object | undefined): void {
    const live = this.#live.get(task.id) ?? this.#begin(task);
    if (origin !== undefined) live.context ??= this.#requests.contextFor(origin);
    if (task.batchId !== null && !this.#ended.has(task.batchId)) this.#remember(task.batchId, this.#contextOf(live));
  }

  #begin(task: Readonly<Task>): Live {
    const from = moment();
    const live: Live = { task, from, context: null, isAlone: false, waitsSince: from, run: null };
    this.#live.set(task.id, live);
    return live;
  }

  /** Of a task that nobody has told a request of, the trace begins with it. */
  #contextOf(live: Live): TraceContext {
    if (live.context !== null) return live.context;
    live.isAlone = true;
    return (live.context = this.#tracer.enter(null));
  }

  #started(task: Readonly<Task>, instance: InstanceRef): void {
    const known = this.#live.get(task.id);
    const live = known ?? this.#begin(task);
    const from = known === undefined ? live.from : moment();
    const { placement } = task;
    live.run = {
      from,
      instance,
      placement,
      number: attemptNumber(task),
      model: task.model ?? task.ranModel,
      spanId: null,
    };
  }

  /** By then its request is known: that is told in the turn of the event loop in which it starts. */
  #sentOn({ id }: Readonly<Task>, addHeader: (name: string, value: string) => void): void {
    const live = this.#live.get(id);
    if (live?.run == null) return;
    live.run.spanId = newSpanId();
    const context = { ...this.#contextOf(live), spanId: live.run.spanId };
    for (const [name, value] of Object.entries(headersOf(context))) addHeader(name, value);
  }

  #left(task: Readonly<Task>, outcome: Outcome): void {
    const live = this.#live.get(task.id);
    if (live?.run == null) return;
    this.#endRun(task, live, endOf(outcome));
  }

  #requeued(task: Readonly<Task>): void {
    const live = this.#live.get(task.id);
    if (live === undefined) return;
    if (live.run !== null) this.#endRun(task, live, { status: null, error: task.attempts.at(-1)?.reason ?? null });
    live.waitsSince = moment();
  }

  #over(task: Readonly<Task>, status: string): void {
    const live = this.#live.get(task.id);
    if (live === undefined) return;
    this.#live.delete(task.id);
    this.#endAll(task, live, status);
    if (task.webhook !== null || task.batchId !== null) this.#remember(task.id, this.#contextOf(live));
  }

  #endAll(task: Readonly<Task>, live: Live, status: string): void {
    const error = task.error?.code ?? null;
    if (live.run !== null) this.#endRun(task, live, { status: null, error });
    const end = { status, error };
    if (live.waitsSince !== null) {
      const span = this.#child("queue", live, live.waitsSince, moment());
      if (span !== null) this.#written(span, task, end);
    }
    if (live.isAlone) this.#writeOwn(task, live, end);
  }

  /** The span `task`. */
  #writeOwn(task: Readonly<Task>, live: Live, end: End | null): void {
    const context = this.#contextOf(live);
    const { spanId } = context;
    const head = { context, spanId, parentId: null, name: "task", kind: INTERNAL, from: live.from, to: moment() };
    const span = this.#tracer.write(head);
    if (span !== null) this.#written(span, task, end);
  }

  #written(span: SpanBatch, task: Readonly<Task>, end: End | null): void {
    writeTask(span, task);
    span.text(STATUS, end?.status);
    span.text(ERROR_TYPE, end?.error);
    this.#tracer.written(span);
  }

  /** Writes what an attempt was: the wait for it, the choice, and the run, which ends now. */
  #endRun(task: Readonly<Task>, live: Live, end: End): void {
    const { run, waitsSince } = live;
    live.run = live.waitsSince = null;
    if (run === null) return;
    if (waitsSince !== null) {
      const span = this.#child("queue", live, waitsSince, run.from);
      if (span !== null) this.#written(span, task, null);
    }
    const where = this.#writePlacement(task, live, run);
    if (where !== null) this.#writeRun(task, live, { run, where, end });
  }

  /** @returns what the run has as well; null: the span is lost, and that of the run would be */
  #writePlacement(task: Readonly<Task>, live: Live, { from, instance, placement }: Run): Written | null {
    const span = this.#child("placement", live, from, from);
    if (span === null) return null;
    const { mark } = span;
    writeTask(span, task);
    span.whole(GPU, instance.gpuId);
    span.whole(INSTANCE, instance.id);
    const where = span.since(mark);
    if (placement !== null) {
      span.text(PLACED_BY, placement.strategy);
      span.text(REASON, sentenceOf(placement.reason, placement.gpuId));
      span.whole(CANDIDATES, placement.candidates.length);
    }
    this.#tracer.written(span);
    return where;
  }

  #writeRun(
    task: Readonly<Task>,
    live: Live,
    { run, where, end }: { readonly run: Run; readonly where: Written; readonly end: End },
  ): void {
    const operation = operationOf(task);
    const { from, model, number, spanId } = run;
    const name = model === null ? operation : `${operation} ${model}`;
    const span = this.#child(name, live, from, moment(), spanId ?? undefined);
    if (span === null) return;
    span.again(where);
    span.whole(ATTEMPT, number);
    writeRequest(span, task, { operation, model });
    if (end.result !== undefined) writeResponse(span, task, end.result);
    span.text(STATUS, end.status);
    span.text(ERROR_TYPE, end.error);
    const firstOutput = task.use?.firstOutput ?? null;
    if (firstOutput !== null) span.event("first_token", from + firstOutput * 1000);
    this.#tracer.written(span, end.error !== null);
  }

  /** Begins a span under that of the request. */
  #child(name: string, live: Live, from: number, to: number, spanId = newSpanId()): SpanBatch | null {
    const context = this.#contextOf(live);
    if (!context.isSampled) return null;
    return this.#tracer.write({
      context,
      spanId,
      parentId: context.spanId,
      name,
      kind: INTERNAL,
      from,
      to,
    });
  }

  #remember(id: string, context: TraceContext): void {
    this.#ended.set(id, context);
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest);
  }
}

const INTERRUPTED: End = { status: "interrupted", error: null };

function writeTask(span: SpanBatch, { id, user, batchId, strategy, priority }: Readonly<Task>): void {
  span.text(TASK, id);
  ENVELOPE.write(span, user, strategy, priority, batchId);
}

const ENVELOPE = new Common((span, user: string, strategy: string, priority: string, batchId: string | null) => {
  span.text(USER, user);
  span.text(STRATEGY, strategy);
  span.text(PRIORITY, priority);
  span.text(BATCH, batchId);
});

function endOf(outcome: Outcome): End {
  switch (outcome.status) {
    case "interrupted":
      return { status: null, error: outcome.reason };
    case "failed":
      return { status: null, error: outcome.error.code };
    default:
      return { status: outcome.status, error: null, result: outcome.result };
  }
}
