/**
 * Events of the core for its observers, each topic a channel of `node:diagnostics_channel`. The core only publishes: metrics, traces and
 * the operators' event stream subscribe, and are not loaded where nobody wants them. Where nobody listens, a topic costs one look at a flag.
 */
import { channel, type Channel } from "node:diagnostics_channel";
import type { IncomingMessage } from "node:http";
import { wallTime } from "./common/clock.ts";
import type { ErrorCode } from "./errors.ts";
import { GPU_STATES, type InstanceRef } from "./gpu/facts.ts";
import type { Outcome, Task } from "./task.ts";

/** One kind of event. */
export class Topic<Event extends object> {
  readonly name: string;
  readonly #channel: Channel;

  /** @param name after `altlas:`; other programs in this process may subscribe by it, too */
  constructor(name: string) {
    this.name = `altlas:${name}`;
    this.#channel = channel(this.name);
  }

  /** Whether anybody listens. Ask it before an event is made that costs anything. */
  get isHeard(): boolean {
    return this.#channel.hasSubscribers;
  }

  /** Tells all listeners before it returns. */
  publish(event: Event): void {
    this.#channel.publish(event);
  }

  /**
   * @param listener is called in the middle of the core's work: it must be fast, must not throw, and must not change what it is told
   * @returns what ends it
   */
  subscribe(listener: (event: Event) => void): () => void {
    const onMessage = (message: unknown): void => listener(message as Event);
    this.#channel.subscribe(onMessage);
    return () => void this.#channel.unsubscribe(onMessage);
  }
}

/** A task was admitted; it may run already. It is not on disk yet, and may still be withdrawn. */
export const TASK_ACCEPTED = new Topic<{
  readonly task: Readonly<Task>;
  /** The request that brought it, as `REQUEST_BEGAN` has told it; absent: none has. */
  readonly origin?: object | undefined;
}>("task.accepted");

/** A task that was accepted could not be written, and is as if it had never been. */
export const TASK_WITHDRAWN = new Topic<{ readonly task: Readonly<Task> }>("task.withdrawn");

/** An attempt begins: a task has a slot. `waited`: seconds that it waited for it, by the server's clock. */
export const TASK_STARTED = new Topic<{
  readonly task: Readonly<Task>;
  readonly instance: InstanceRef;
  readonly waited: number;
}>("task.started");

/** The engine of a running task is about to ask a server for it. */
export const TASK_SENT_ON = new Topic<{
  readonly task: Readonly<Task>;
  /** Sends a header with each request for it. */
  addHeader(name: string, value: string): void;
}>("task.sent_on");

/** New output of a running task, once for each step of its engine. */
export const TASK_OUTPUT = new Topic<{
  readonly task: Readonly<Task>;
  /** The first of this attempt. */
  readonly isFirst: boolean;
  /** Seconds since the output before it; null: there was none, or nobody listened then. */
  readonly pause: number | null;
}>("task.output");

/** A run has ended by itself, and its slot is free. A run that is cut off does not end so: its task changes back to `queued`. */
export const TASK_LEFT = new Topic<{ readonly task: Readonly<Task>; readonly outcome: Outcome }>("task.left");

/** A task goes back to the queue, as its attempt was cut off. */
export const TASK_REQUEUED = new Topic<{ readonly task: Readonly<Task> }>("task.requeued");

/** The final status of a task is on disk. */
export const TASK_ENDED = new Topic<{ readonly task: Readonly<Task> }>("task.ended");

/** The store has written one commit. */
export const STORE_COMMITTED = new Topic<{
  /** From the call to the answer of its thread. */
  readonly seconds: number;
}>("store.committed");

/** A request has come, whatever it asks for. */
export const REQUEST_BEGAN = new Topic<{
  readonly request: IncomingMessage;
  /** As it was registered, like `/api/v1/task/:task_id`; undefined: there is no such route. */
  readonly route: string | undefined;
}>("request.began");

/** A request was answered, or its connection broke off. */
export const REQUEST_ENDED = new Topic<{
  readonly request: IncomingMessage;
  /** As it was registered, like `/api/v1/task/:task_id`; undefined: there is no such route. */
  readonly route: string | undefined;
  readonly status: number;
}>("request.ended");

/** A request was refused. One whose task has failed was not. */
export const REQUEST_REFUSED = new Topic<{ readonly code: ErrorCode }>("request.refused");

/** One try to deliver a webhook begins. */
export const DELIVERY_BEGINS = new Topic<{
  readonly deliveryId: string;
  readonly taskId: string | null;
  readonly batchId: string | null;
  /** Like `task.completed`. */
  readonly event: string;
  /** Where it goes. */
  readonly host: string;
  /** Which try it is, from 1. */
  readonly attempt: number;
  /** Sends a header with it. */
  addHeader(name: string, value: string): void;
}>("delivery.begins");

/** One try to deliver a webhook has ended. */
export const DELIVERY_TRIED = new Topic<{
  readonly deliveryId: string;
  /** The HTTP status of the answer; null: there was none. */
  readonly status: number | null;
  readonly taskId: string | null;
  readonly batchId: string | null;
  readonly seconds: number;
  readonly isDelivered: boolean;
}>("delivery.tried");

/** The events that an operator is told: each kind of thing, and what may happen to it. */
export const OPERATOR_EVENTS = {
  /** The states that it goes into, and what happens beside. */
  gpu: [...GPU_STATES, "resumed", "crowded", "free", "xid", "double_bit_ecc"],
  /** With a GPU: an instance of it. Without one: its files. */
  model: ["loaded", "unloaded", "load_failed", "pulled", "fetched", "fetch_failed", "removed"],
  config: ["changed", "reloaded", "reload_failed"],
  /** `failing` until `working`; `lost` until the server is started again; `quarantined` at the start. */
  store: ["failing", "working", "lost", "quarantined"],
  /** Of the file of users and keys: `gone` or `damaged` until `read`, `hangs` until `answers`. Of credentials that were sent: `refused`. */
  auth: ["gone", "damaged", "read", "hangs", "answers", "refused"],
  /** An endpoint of a user's webhooks: nothing is sent there until it is resumed. */
  webhook: ["paused", "resumed"],
} as const;

export type OperatorEventKind = keyof typeof OPERATOR_EVENTS;

interface AboutKind<Kind extends OperatorEventKind> {
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly kind: Kind;
  readonly event: (typeof OPERATOR_EVENTS)[Kind][number];
  readonly gpuId?: number;
  readonly model?: string;
  /** The user who did it; absent: nobody did, or a command on this machine. */
  readonly by?: string;
  /** How often it has happened by now, where such things are told in sum. */
  readonly count?: number;
  /** One sentence, for admins: it may name paths and hosts. */
  readonly sentence: string;
}

/** One thing that an operator is told: `GET /events`. */
export type OperatorEvent = { [Kind in OperatorEventKind]: AboutKind<Kind> }[OperatorEventKind];

/** An operator's event that happens now. */
export type OperatorNews = { [Kind in OperatorEventKind]: Omit<AboutKind<Kind>, "at"> }[OperatorEventKind];

export const OPERATOR_EVENT = new Topic<OperatorEvent>("operator.event");

/** Tells operators of something that happens now. */
export function tellOperators(news: OperatorNews): void {
  if (OPERATOR_EVENT.isHeard) OPERATOR_EVENT.publish({ at: wallTime(), ...news });
}
