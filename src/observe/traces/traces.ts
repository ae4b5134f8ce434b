/** Traces for OpenTelemetry: what the core tells (topics.ts) becomes spans, which are sent in batches. */
import { type TracerProvider } from "@opentelemetry/sdk-trace";
import { within } from "../../common/patience.ts";
import { VERSION } from "../../common/version.ts";
import { type Logger } from "../../log/log.ts";
import { RequestSpans } from "./request-spans.ts";
import { providerOf } from "./sdk.ts";
import { TaskSpans } from "./task-spans.ts";
import { WebhookSpans } from "./webhook-spans.ts";

/** Milliseconds that a stop waits for the collector. */
const LAST_SPANS = 1000;

export class Traces {
  readonly #provider: TracerProvider;
  readonly #parts: readonly { stop(): void }[];

  /** @throws {Error} a variable of the environment cannot be understood */
  constructor(environment: NodeJS.ProcessEnv, log: Logger) {
    this.#provider = providerOf(environment, log);
    const tracer = this.#provider.getTracer("alt-las", VERSION);
    const requests = new RequestSpans(tracer);
    const tasks = new TaskSpans(tracer, requests);
    this.#parts = [requests, tasks, new WebhookSpans(tracer, tasks)];
  }

  /** Sends what is left, for a moment: a collector that hangs holds up no stop. */
  async stop(): Promise<void> {
    for (const part of this.#parts) part.stop();
    await within(
      LAST_SPANS,
      this.#provider.shutdown().catch(() => undefined),
    );
  }
}
