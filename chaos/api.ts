/** The server's HTTP interface for clients that must get over its deaths. */
import { type Life, type Lives } from "./lives.ts";
import { type Outage } from "./outage.ts";
import { type Report } from "./report.ts";

/** Milliseconds after which a request that is not held counts as never answered. */
const PATIENCE = 120_000;
/** Milliseconds in which a process that has broken a connection has to be seen to end. */
const DEATH = 5000;

/** Paths to which tasks are submitted. */
const SUBMITS = /^\/((batch_)?predict|v1\/(responses|batches))$/;

export interface User {
  readonly name: string;
  readonly key: string;
  /** What its webhooks are signed with. */
  secret: string;
}

export interface Asking {
  /** Sent as JSON, but for a form. */
  readonly body?: object | FormData;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** What the server said; of the type that its schema says. */
  readonly body: unknown;
  /** When it was asked, on the suite's own clock: what was true before that may not be contradicted. */
  readonly askedAt: number;
  /** The server had lost its files: what it refused may be in them all the same. */
  readonly unsure: boolean;
}

/** An answer that comes bit by bit. */
export interface Flow {
  readonly response: Response;
  readonly life: Life;
  readonly askedAt: number;
}

export class Api {
  readonly #lives: Lives;
  readonly #report: Report;
  readonly #outage: Outage | undefined;
  #clock = 0;

  /** @param outage of the server's database, where it has one that can be away */
  constructor(lives: Lives, report: Report, outage?: Outage) {
    this.#lives = lives;
    this.#report = report;
    this.#outage = outage;
  }

  /** A moment that comes after all before it. */
  tick(): number {
    return ++this.#clock;
  }

  /** Asks the server that lives now; null: it died before its answer was there. */
  async ask(user: User, method: string, path: string, asking: Asking = {}): Promise<Answer | null> {
    const flow = await this.open(user, method, path, asking);
    return flow && this.read(flow, `${method} ${path}`);
  }

  /** The rest of an answer; null: the server died before that. */
  async read(flow: Flow, what: string): Promise<Answer | null> {
    const text = await this.readText(flow, what);
    if (text === null) return null;
    const { status, headers } = flow.response;
    const unsure = flow.life.robbed && status === 503;
    return { status, headers, body: JSON.parse(text), askedAt: flow.askedAt, unsure };
  }

  async readText({ response, life }: Flow, what: string): Promise<string | null> {
    try {
      return await response.text();
    } catch (error) {
      await this.expectDeath(life, what, error);
      return null;
    }
  }

  /** As `ask`, but only the head of the answer is waited for. */
  async open(user: User, method: string, path: string, asking: Asking = {}): Promise<Flow | null> {
    const { body, headers, signal } = asking;
    const life = await this.#lives.current();
    const { noticed } = life;
    const askedAt = this.tick();
    const isForm = body instanceof FormData;
    const json = body === undefined || isForm ? {} : { "content-type": "application/json" };
    try {
      const response = await fetch(`${life.url}${path.startsWith("/v1/") ? "" : "/api/v1"}${path}`, {
        method,
        headers: { authorization: `Bearer ${user.key}`, ...json, ...headers },
        signal: signal ?? AbortSignal.timeout(PATIENCE),
        ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
      });
      const evidence = response.status === 500 ? await response.clone().text() : undefined;
      this.#report.check("answer", evidence === undefined, `${method} ${path} was answered with a 500`, evidence);
      if (method === "GET" && response.status === 503 && (life.robbed || this.#outage?.isRecent === true))
        return await this.#untilOver(life, response);
      if (noticed && method === "POST" && SUBMITS.test(path))
        this.#report.check("gone", response.status !== 200, `without its files it accepted a ${method} ${path}`);
      return { response, life, askedAt };
    } catch (error) {
      if (signal?.aborted) return null;
      await this.expectDeath(life, `${method} ${path}`, error);
      return null;
    }
  }

  /** A server without its files can tell nothing; the next one will. One without its database will when that is back. */
  async #untilOver(life: Life, response: Response): Promise<null> {
    await response.body?.cancel();
    if (life.robbed) await life.exit;
    else await this.#outage!.over();
    return null;
  }

  /** A connection broke, which only the end of the server can excuse, or that its database is away. */
  async expectDeath(life: Life, what: string, error: unknown): Promise<void> {
    if (this.#outage?.isRecent === true) return this.#outage.over();
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, DEATH);
    // A server that has ended by itself is a broken promise of its own.
    if (!life.doomed) await Promise.race([life.exit, patience]);
    clearTimeout(timer);
    const why = error instanceof Error ? `${error.message}: ${String(error.cause)}` : String(error);
    this.#report.check("answer", life.doomed, `${what} broke while the server lived`, why);
  }
}
