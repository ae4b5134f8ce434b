/**
 * A stand-in for the servers that an `openai` engine asks: it speaks as each of them does, and fails as it is told to.
 *
 * Each request generates one word a millisecond, all of them in step, until `max_tokens`. A prompt has one token for every 4 bytes. What
 * goes wrong with a prompt that contains a word of `faults` stands there.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { text as textOf } from "node:stream/consumers";
import {
  type Answered,
  eventsOf,
  MODEL,
  type Pages,
  promptIn,
  refusalOf,
  type Said,
  tokensIn,
  type Vendor,
  VENDOR_PAGES,
} from "./upstream-vendors.ts";

/** Something that goes wrong with one task, after so many tokens. */
export type Fault =
  | {
      readonly kind: "refuse";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body: string;
    }
  /** Sends this as it is, and goes on. */
  | { readonly kind: "say"; readonly data: string; readonly after: number }
  /** Closes the connection in the middle. */
  | { readonly kind: "cut"; readonly after: number }
  /** Ends the answer as if it were complete, but says no reason. */
  | { readonly kind: "end"; readonly after: number }
  /** Sends nothing more, but comments. */
  | { readonly kind: "stall"; readonly after: number }
  /** Waits for `release`. */
  | { readonly kind: "wait"; readonly after: number };

export interface StandInOptions {
  readonly vendor: Vendor;
  /** Wanted as a bearer token; absent: none. */
  readonly key?: string;
  readonly model?: string;
  /** Tokens. */
  readonly context?: number;
  readonly faults?: Readonly<Record<string, Fault>>;
  /** Routes that answer otherwise than its vendor's; null: not found. */
  readonly routes?: Readonly<Record<string, Answered | null>>;
  /** Further pages; one that makes an answer with a status of its own is taken at its word. */
  readonly pages?: Pages;
}

/** A request as it arrived. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Record<string, unknown>;
  /** The connection it came by. */
  readonly port: number | undefined;
}

interface Run extends Said {
  readonly response: ServerResponse;
  readonly maxTokens: number;
  readonly fault: Fault | undefined;
  faulted: boolean;
  /** A fault has stopped it, for now or for good. */
  halted: boolean;
}

/** Where it generates text. */
const GENERATING: ReadonlySet<string> = new Set(["/v1/completions", "/v1/chat/completions"]);

const CONTEXT = 4096;
const WORDS = ["the", "lamp", "ğün", "stays", "on", "日本", "until", "🙂", "morning"];

export class StandIn {
  url = "";
  readonly seen: Seen[] = [];
  /** The most tasks that it had at once. */
  mostRunning = 0;
  readonly #options: StandInOptions;
  readonly #server: Server;
  readonly #runs = new Set<Run>();
  #timer: NodeJS.Timeout | undefined;
  #waiters: { readonly is: () => boolean; readonly wake: () => void }[] = [];

  private constructor(options: StandInOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on("request", (request, response) => void this.#answer(request, response));
  }

  /** Opens one on a port of its own, or on this one. */
  static async open(options: StandInOptions, port = 0): Promise<StandIn> {
    const server = createServer();
    const standIn = new StandIn(options, server);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    standIn.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return standIn;
  }

  /** Tasks that it has now. */
  get running(): number {
    return this.#runs.size;
  }

  /** Tasks that a fault has stopped. */
  get halted(): number {
    return [...this.#runs].filter(({ halted }) => halted).length;
  }

  /** Tasks that were asked for with this text in their prompt. */
  asked(text: string): Seen[] {
    return this.seen.filter(({ path, body }) => GENERATING.has(path) && promptIn(body).includes(text));
  }

  /** Lets go on what waits. */
  release(): void {
    for (const run of this.#runs) run.halted = false;
    this.#schedule();
  }

  /** Resolves once something is true of it, which it looks at whenever something has happened there. */
  until(is: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push({ is, wake: resolve });
    this.#look();
    return promise;
  }

  /** Is gone at once, with everything that it was doing. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #look(): void {
    const awake = this.#waiters.filter(({ is }) => is());
    this.#waiters = this.#waiters.filter((waiter) => !awake.includes(waiter));
    for (const { wake } of awake) wake();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await textOf(request).catch(() => "");
    const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
    const path = request.url!;
    this.seen.push({ method: request.method!, path, headers: request.headers, body, port: request.socket.remotePort });
    const answered = this.#routed(path, body) ?? this.#refusal(request);
    if (answered !== undefined) send(response, answered);
    else this.#generate(response, body);
    this.#look();
  }

  /** undefined: it is for others to answer. */
  #routed(path: string, body: Record<string, unknown>): Answered | undefined {
    const { routes = {}, vendor } = this.#options;
    if (path in routes) return routes[path] ?? NOT_FOUND;
    if (GENERATING.has(path)) return undefined;
    // llama-server lists its models to everybody.
    if (path === "/v1/models" && vendor !== "llama-server") return undefined;
    const known = this.#pages()[path.split("?")[0]!];
    if (known === undefined) return NOT_FOUND;
    const said: unknown = typeof known === "function" ? known(body) : known;
    return isAnswer(said) ? said : { body: said };
  }

  #refusal({ url, headers }: IncomingMessage): Answered | undefined {
    const { key } = this.#options;
    if (key !== undefined && headers.authorization !== `Bearer ${key}`)
      return { status: 401, body: { error: { message: `Invalid API key: ${headers.authorization}`, code: 401 } } };
    return url === "/v1/models" ? { body: this.#pages()["/v1/models"] } : undefined;
  }

  /** What it answers beside completions. */
  #pages(): Pages {
    const { vendor, model = MODEL, context = CONTEXT, pages } = this.#options;
    return {
      ...pages,
      ...VENDOR_PAGES[vendor]({ model, context, running: this.running }),
      ...(vendor === "sglang" && { "/abort_request": ({ rid }: Run["body"]) => this.#abort(rid) }),
    };
  }

  #abort(rid: unknown): object {
    for (const run of this.#runs) if (run.body.rid === rid) this.#end(run);
    return {};
  }

  #generate(response: ServerResponse, body: Record<string, unknown>): void {
    const prompt = promptIn(body);
    const [, fault] = Object.entries(this.#options.faults ?? {}).find(([word]) => prompt.includes(word)) ?? [];
    const refusal =
      fault?.kind === "refuse" ? fault : refusalOf(this.#options.vendor, this.#options.context ?? CONTEXT, body);
    if (refusal !== undefined) return send(response, refusal);
    const run: Run = {
      response,
      body,
      prompt,
      maxTokens: this.#roomFor(body),
      fault,
      tokens: 0,
      faulted: false,
      halted: false,
    };
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" }).flushHeaders();
    response.on("close", () => {
      this.#runs.delete(run);
      this.#look();
    });
    this.#runs.add(run);
    this.mostRunning = Math.max(this.mostRunning, this.#runs.size);
    this.#schedule();
  }

  #roomFor(body: Record<string, unknown>): number {
    // As OpenAI's own does it.
    const most = "messages" in body || body.max_tokens === null ? Infinity : 16;
    return Math.min(Number(body.max_tokens ?? most), (this.#options.context ?? CONTEXT) - tokensIn(promptIn(body)));
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.#step(), 1);
  }

  /** One token for each. */
  #step(): void {
    this.#timer = undefined;
    for (const run of this.#runs) this.#advance(run);
    if (this.#runs.values().some(({ halted }) => !halted)) this.#schedule();
    this.#look();
  }

  #advance(run: Run): void {
    const { fault } = run;
    if (run.halted) return;
    if (fault !== undefined && fault.kind !== "refuse" && !run.faulted && run.tokens >= fault.after) {
      run.faulted = true;
      this.#happen(run, fault);
      if (run.halted) return;
    }
    const isLast = run.tokens === run.maxTokens - 1;
    const text = `${run.tokens === 0 ? "" : " "}${WORDS[(run.prompt.length + run.tokens) % WORDS.length]!}`;
    run.tokens++;
    for (const data of eventsOf(this.#options.vendor, run, text, isLast)) run.response.write(`data: ${data}\n\n`);
    if (isLast) this.#end(run);
  }

  #happen(run: Run, fault: Exclude<Fault, { kind: "refuse" }>): void {
    if (fault.kind === "say") return void run.response.write(`data: ${fault.data}\n\n`);
    run.halted = true;
    if (fault.kind === "cut") run.response.destroy();
    if (fault.kind === "end") this.#end(run);
    if (fault.kind === "stall") run.response.write(": still here\n\n");
  }

  #end(run: Run): void {
    this.#runs.delete(run);
    run.response.end();
  }
}

function isAnswer(said: unknown): said is Answered {
  return said !== null && typeof said === "object" && "status" in said && "body" in said;
}

const NOT_FOUND: Answered = { status: 404, body: { detail: "Not Found" } };

function send(response: ServerResponse, { status = 200, headers = {}, body }: Answered): void {
  const isText = typeof body === "string";
  response.writeHead(status, { "content-type": isText ? "text/html" : "application/json", ...headers });
  response.end(isText ? body : JSON.stringify(body));
}
