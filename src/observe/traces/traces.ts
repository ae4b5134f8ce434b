/** Traces for OpenTelemetry: what the core tells (topics.ts) becomes spans, which are sent in batches. */
import { within } from "../../common/patience.ts";
import { VERSION } from "../../common/version.ts";
import type { Logger } from "../../log/log.ts";
import { Collector } from "./collector.ts";
import { Envelope } from "./envelope.ts";
import { RequestSpans } from "./request-spans.ts";
import { samplerOf } from "./sampling.ts";
import { settingsOf } from "./settings.ts";
import { SpanQueue } from "./span-queue.ts";
import { TaskSpans } from "./task-spans.ts";
import { Tracer } from "./tracer.ts";
import { WebhookSpans } from "./webhook-spans.ts";

/** Milliseconds that a stop waits for the collector. */
const LAST_SPANS = 1000;

export class Traces {
  readonly #collector: Collector;
  readonly #queue: SpanQueue;
  readonly #parts: readonly { stop(): void }[];

  /** @throws {Error} a variable of the environment cannot be understood */
  constructor(environment: NodeJS.ProcessEnv, log: Logger) {
    const { collector, batches, resource } = settingsOf(environment);
    const sampler = samplerOf(environment);
    this.#collector = new Collector(collector);
    const envelope = new Envelope(resource, { name: "alt-las", version: VERSION });
    this.#queue = new SpanQueue({ collector: this.#collector, envelope, log }, batches);
    const tracer = new Tracer(sampler, this.#queue);
    const requests = new RequestSpans(tracer);
    const tasks = new TaskSpans(tracer, requests);
    this.#parts = [requests, tasks, new WebhookSpans(tracer, tasks)];
  }

  /** Sends what is left, for a moment: a collector that hangs holds up no stop. */
  async stop(): Promise<void> {
    for (const part of this.#parts) part.stop();
    this.#collector.hurry();
    await within(LAST_SPANS, this.#queue.flush());
    this.#collector.close();
  }
}
