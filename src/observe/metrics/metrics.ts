/**
 * The figures for Prometheus at `/metrics`: this counts what the core tells (topics.ts), and reads the rest at each scrape. The number
 * of series is bounded, whatever clients send: by the configuration, by `LabelValues` and by `Users`.
 */
import { within } from "../../common/patience.ts";
import { VERSION } from "../../common/version.ts";
import type { TaskStatus } from "../../task.ts";
import { countLoads, showGpus } from "./gpus.ts";
import { Instruments, type Reading } from "./instruments.ts";
import { showLeading } from "./leading.ts";
import { LabelValues } from "./label-values.ts";
import { countPace } from "./pace.ts";
import { countProcess, showProcess } from "./process.ts";
import { countRequests } from "./requests.ts";
import type { MetricSources } from "./sources.ts";
import { countTasks, ENDED } from "./tasks.ts";
import { Users } from "./users.ts";

/** The answer to a scrape. */
export interface Scrape {
  readonly contentType: string;
  readonly text: string;
}

/** Models with series of their own. */
const MOST_MODELS = 30;
/** Webhooks that are counted, which takes the store two milliseconds. */
const MOST_WEBHOOKS = 10_000;
/** Milliseconds that a scrape waits for the store: its disk may hang, and that is when metrics are looked at. */
const STORE_PATIENCE = 500;

export class Metrics {
  readonly #instruments = new Instruments();
  readonly #sources: MetricSources;
  readonly #users: Users | null;
  readonly #readings: readonly (() => void)[];
  readonly #readStore: () => Promise<void>;
  readonly #ends: readonly (() => void)[];
  #scrape: Promise<Scrape> | null = null;

  /** Counts from now on, until `stop`. */
  constructor(sources: MetricSources) {
    const instruments = this.#instruments;
    const models = new LabelValues(MOST_MODELS);
    this.#sources = sources;
    this.#users = sources.namesUsers ? new Users(instruments) : null;
    const gpus = showGpus(instruments, models);
    const tasks = instruments.gauge("tasks", "Tasks by status: those of the store, and those that wait or run.", [
      "status",
    ]);
    this.#readings = [
      showProcess(instruments, VERSION),
      this.#showQueue(tasks),
      ...(sources.leads === undefined ? [] : [showLeading(instruments, sources.leads)]),
      () => gpus(sources.gpus()),
      () => this.#users?.read(),
    ];
    this.#readStore = this.#showStore(tasks);
    this.#ends = [
      ...countTasks({ instruments, models, users: this.#users }),
      ...countPace(instruments, sources.now),
      ...countRequests(instruments),
      ...countProcess(instruments),
      countLoads(instruments),
    ];
  }

  /** Scrapes that come together are answered together. */
  scrape(): Promise<Scrape> {
    this.#scrape ??= this.#read().finally(() => (this.#scrape = null));
    return this.#scrape;
  }

  /** Ends the counting. Calling it twice is harmless. */
  stop(): void {
    for (const end of this.#ends) end();
  }

  async #read(): Promise<Scrape> {
    await this.#readStore();
    for (const read of this.#readings) {
      read();
      await new Promise(setImmediate);
    }
    return { contentType: this.#instruments.contentType, text: await this.#instruments.text() };
  }

  #showQueue(tasks: Reading): () => void {
    const { queue, gpus, isReady, pausedEndpoints, now } = this.#sources;
    const ready = this.#instruments.gauge("ready", "Whether a task sent now could finish, as /readyz says it.");
    const depth = this.#instruments.gauge("queue_depth", "Tasks that wait.");
    const oldest = this.#instruments.gauge(
      "queue_oldest_seconds",
      "Since the oldest waiting task was submitted; 0: none waits.",
    );
    const paused = this.#instruments.gauge("webhook_endpoints_paused", "Endpoints of webhooks that are paused.");
    return () => {
      const waiting = queue();
      paused.set(pausedEndpoints());
      ready.set(Number(isReady()));
      depth.set(waiting.depth);
      oldest.set(waiting.oldest === null ? 0 : Math.max(0, now() - waiting.oldest) / 1000);
      tasks.set(waiting.depth, "queued" satisfies TaskStatus);
      tasks.set(
        gpus().reduce((sum, { taskCount }) => sum + taskCount, 0),
        "running" satisfies TaskStatus,
      );
    };
  }

  /** Figures that the store does not tell in time are shown as they were. */
  #showStore(tasks: Reading): () => Promise<void> {
    const { ended, pendingWebhooks } = this.#sources;
    const pending = this.#instruments.gauge(
      "webhooks_pending",
      `Webhooks that are yet to be delivered; ${MOST_WEBHOOKS} stands for more, too.`,
    );
    const read = async (): Promise<void> => {
      pending.set(await pendingWebhooks(MOST_WEBHOOKS));
      for (const status of ENDED) tasks.set(await ended(status), status);
    };
    let underWay: Promise<void> | null = null;
    // A disk that hangs is asked once, and not again by each scrape.
    return () =>
      within(
        STORE_PATIENCE,
        (underWay ??= read()
          .catch(() => undefined)
          .finally(() => (underWay = null))),
      );
  }
}
