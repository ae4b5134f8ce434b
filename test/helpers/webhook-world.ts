/** What webhooks need to be tested: a store, receivers that are real servers, and a clock. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type TestContext } from "node:test";
import { pino } from "pino";
import { type Clock } from "../../src/common/clock.ts";
import { AltLasError } from "../../src/errors.ts";
import {
  type Delivery,
  type Outbox,
  type OutboxRecord,
  type WebhookEndpoint,
  type WebhookSecret,
} from "../../src/store/outbox.ts";
import { type Lookup } from "../../src/webhooks/address.ts";
import { deliveriesFor } from "../../src/webhooks/events.ts";
import { Webhooks, type WebhooksOptions, type WebhookTiming } from "../../src/webhooks/webhooks.ts";

export const DAY = 86_400_000;

/** Tries again at once, and waits for ever. */
export const TIMING: WebhookTiming = {
  check: 3_600_000,
  limit: 3_600_000,
  firstPause: 0,
  longestPause: 0,
  round: DAY,
  lookGap: 0,
  setback: 0,
  addressPause: 0,
  storePause: 0,
};

/** Does not try again in the test, unless that sets the clock. */
export const LATER: WebhookTiming = { ...TIMING, firstPause: DAY, longestPause: DAY };

/** Lets tests wait for what they can see. */
class Watched {
  readonly #waiting = new Set<() => void>();

  protected changed(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }
}

/** Deliveries and secrets in memory. Copies go in and out, as they do with a disk. */
export class WebhookStore extends Watched implements Outbox {
  readonly deliveries = new Map<string, Delivery>();
  readonly secrets = new Map<string, WebhookSecret>();
  readonly failing = new Map<string, WebhookEndpoint>();
  /** Every save that was asked for. */
  saves = 0;
  /** Saves fail. */
  full = false;

  async write(records: readonly OutboxRecord[]): Promise<void> {
    this.saves++;
    const copies = structuredClone(records);
    // Not at once: what is asked for meanwhile must not see it.
    await new Promise(setImmediate);
    if (!this.full) for (const record of copies) this.#keep(record);
    this.changed();
    if (this.full) throw new AltLasError("store_unavailable", "the disk is full");
  }

  #keep(record: OutboxRecord): void {
    if (record.kind === "secret") this.secrets.set(record.secret.user, record.secret);
    if (record.kind === "endpoint")
      this.failing.set(`${record.endpoint.user} ${record.endpoint.origin}`, record.endpoint);
    if (record.kind === "endpoint_works") this.failing.delete(`${record.user} ${record.origin}`);
    if (record.kind !== "event" && record.kind !== "delivery") return;
    const { delivery } = record;
    if (this.deliveries.has(delivery.id) === (record.kind === "delivery")) this.deliveries.set(delivery.id, delivery);
  }

  async pendingDeliveries(limit: number): Promise<Delivery[]> {
    const pending = [...this.deliveries.values()].filter(({ status }) => status === "pending");
    const sorted = pending.toSorted((a, b) => a.nextAt - b.nextAt);
    const byUser = [...Map.groupBy(sorted, ({ user }) => user).values()].flatMap((own) => own.slice(0, limit));
    const found = structuredClone(byUser.toSorted((a, b) => a.nextAt - b.nextAt));
    await new Promise(setImmediate);
    return found;
  }

  async countPending(most: number): Promise<number> {
    return Math.min(most, [...this.deliveries.values()].filter(({ status }) => status === "pending").length);
  }

  async deliveriesOf(subject: string): Promise<Delivery[]> {
    return structuredClone([...this.deliveries.values()].filter((delivery) => delivery.subject === subject));
  }

  async secret(user: string): Promise<WebhookSecret | null> {
    const found = structuredClone(this.secrets.get(user) ?? null);
    await new Promise(setImmediate);
    return found;
  }

  async endpoints(): Promise<WebhookEndpoint[]> {
    return structuredClone([...this.failing.values()]);
  }

  /** The delivery of an event of a task, in its present state. */
  of(subject: string): Delivery {
    return this.deliveries.get(`msg_${subject}_task_completed`)!;
  }

  /** @returns it with its tries, once it is so */
  async is(subject: string, status: Delivery["status"]): Promise<Delivery> {
    await this.until(() => this.of(subject)?.status === status);
    return this.of(subject);
  }

  /** Resolves when it has been tried that often, and the last try is written. */
  async tried(subject: string, times: number): Promise<Delivery> {
    await this.until(() => (this.of(subject)?.attempts.length ?? 0) >= times);
    return this.of(subject);
  }
}

export interface Received {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly response: ServerResponse;
  /** Of a TLS connection: the name it was opened for. */
  readonly serverName: unknown;
}

type Answer = (response: ServerResponse) => void;

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end();

/** Answers nothing. */
export const silence: Answer = () => undefined;

/** A server that takes webhooks. */
export class Receiver extends Watched {
  readonly received: Received[] = [];
  connections = 0;
  /** Requests without an end of their connection yet, and the most there were of them. */
  open = 0;
  mostOpen = 0;
  /** How it answers, from first to last; after that, the last one again. */
  answers: Answer[] = [status(204)];
  readonly #server: Server;
  readonly #scheme: string;

  private constructor(server: Server, scheme: string) {
    super();
    this.#server = server;
    this.#scheme = scheme;
    server.on("connection", () => this.connections++);
    server.on("request", (request, response) => void this.#onRequest(request, response));
  }

  static async start(
    t: TestContext,
    tls?: { readonly cert: Buffer; readonly key: Buffer },
    port = 0,
    host = "127.0.0.1",
  ): Promise<Receiver> {
    const server = tls === undefined ? createServer() : createSecureServer(tls);
    const receiver = new Receiver(server, tls === undefined ? "http" : "https");
    server.listen(port, host);
    await once(server, "listening");
    t.after(() => receiver.close());
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(host = "127.0.0.1"): string {
    return `${this.#scheme}://${host}:${this.port}/hook?token=hidden`;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    response.on("close", () => {
      this.open--;
      this.changed();
    });
    const body = await text(request);
    const serverName = (request.socket as { servername?: unknown }).servername;
    this.received.push({ path: request.url!, headers: request.headers, body, response, serverName });
    this.answers[Math.min(this.received.length, this.answers.length) - 1]!(response);
    this.changed();
  }

  async got(count: number): Promise<readonly Received[]> {
    await this.until(() => this.received.length >= count);
    return this.received;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}

/** A host that is at home; the names are not known to the system, so that whoever asks it fails. */
export const localhost: Lookup = async () => [{ address: "127.0.0.1", family: 4 }];

/** What is written when a task was completed. */
export function aDelivery(subject: string, url: string, at: number, user = "ada", now = at): OutboxRecord {
  const about = { subject, user, event: "task.completed", occurrence: 1, data: { task_id: subject } } as const;
  const [delivery] = deliveriesFor({ url, events: ["task.completed"] }, about, at, now);
  return { kind: "event", delivery: delivery! };
}

/** Webhooks over a store. */
export class World {
  readonly store = new WebhookStore();
  readonly lines: string[] = [];
  webhooks: Webhooks;
  /** Unix milliseconds. */
  now = 1_700_000_000_500;
  /** Milliseconds that the wall clock shows more. */
  ahead = 0;
  readonly #options: WebhooksOptions;

  constructor(t: TestContext, options: Partial<WebhooksOptions> = {}) {
    this.#options = {
      outbox: this.store,
      allowPrivate: true,
      log: pino({ level: "debug" }, { write: (line: string) => void this.lines.push(line) }),
      clock: this.#clock(),
      random: () => 0.5,
      lookup: localhost,
      timing: TIMING,
      ...options,
    };
    this.webhooks = new Webhooks(this.#options);
    t.after(() => this.webhooks.stop());
  }

  #clock(): Clock {
    const ahead = (): number => this.ahead;
    return {
      now: () => this.now,
      get ahead() {
        return ahead();
      },
    };
  }

  /** Another server over the same store. */
  restart(): void {
    this.webhooks = new Webhooks(this.#options);
    this.webhooks.start();
  }

  /** A task was completed. */
  async happen(subject: string, url: string, user = "ada"): Promise<void> {
    await this.store.write([aDelivery(subject, url, this.now + this.ahead, user, this.now)]);
    this.webhooks.wake();
  }
}
