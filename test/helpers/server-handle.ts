/** What tests do with a server whose API they call, wherever it runs: in a process (server.ts) or in theirs (local-server.ts). */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GpuState } from "../../src/gpu/facts.ts";
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { type BatchAnswer } from "../../src/http/schemas/submissions.ts";
import { removeFolder } from "./remove-folder.ts";
import { type TasksAnswer, type TaskSummary, type TaskView } from "../../src/http/schemas/tasks.ts";

/** Milliseconds after which any wait gives up, so that a bug fails its test instead of holding it for ever. */
const PATIENCE = 60_000;

export function deadline(): AbortSignal {
  return AbortSignal.timeout(PATIENCE);
}

/** What can undo things when a test ends: a `TestContext`, or `node:test` itself for what a whole file shares. */
export interface Owner {
  after(undo: () => void | Promise<void>): void;
  /** Of each test in it. */
  afterEach?(undo: () => void | Promise<void>): void;
}

/** A folder of the test's own. */
export function newFolder(owner: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-e2e-"));
  owner.after(() => removeFolder(folder));
  return folder;
}

/** One line of the log. */
export type LogLine = { readonly msg: string; readonly level: number; readonly pid: number } & Readonly<
  Record<string, unknown>
>;

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface Failure {
  readonly error: string;
  readonly code: string;
}

export interface RequestOptions {
  /** Sent as JSON; a string is sent as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export abstract class ServerHandle {
  url = "";
  /** An admin's. */
  key = "";

  /** The lines of the log so far. */
  abstract get log(): LogLine[];

  /** Resolves when it holds; it is asked again whenever the server has said something. @param what for the sentence when it does not */
  protected abstract until(what: string, holds: () => boolean): Promise<void>;

  // --- waiting -------------------------------------------------------------------------------------------------

  /** Waits for lines of the log, also those that have come already. */
  async logged(isMeant: (line: LogLine) => boolean, count = 1): Promise<LogLine[]> {
    await this.until("a line of the log", () => this.log.filter(isMeant).length >= count);
    return this.log.filter(isMeant);
  }

  /** Waits until a GPU has gone into a state as often as `count` says. */
  async became(gpu: number, state: GpuState, count = 1): Promise<void> {
    await this.logged(
      (line) => line.msg === "GPU state changed" && line["gpu"] === gpu && line["state"] === state,
      count,
    );
  }

  /** Waits until every GPU has loaded its model, or failed to. */
  async loaded(): Promise<this> {
    const gpus = (await this.gpus()).length;
    await this.until("all GPUs", () => new Set(this.log.filter(isLoaded).map((line) => line["gpu"])).size === gpus);
    return this;
  }

  // --- HTTP ----------------------------------------------------------------------------------------------------

  async request<Body = Failure>(method: string, path: string, options: RequestOptions = {}): Promise<Answer<Body>> {
    const { body, headers } = options;
    const json: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.key}`, ...json, ...headers },
      signal: deadline(),
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
  }

  /** Submits one task, which must be accepted. */
  async predict(body: object, headers: Readonly<Record<string, string>> = {}): Promise<TaskSummary> {
    return this.#accepted<TaskSummary>(await this.request("POST", "/api/v1/predict", { body, headers }));
  }

  /** Submits one task and waits for its end. */
  async run(body: object, headers: Readonly<Record<string, string>> = {}): Promise<TaskView> {
    const { task_id } = await this.predict(body, headers);
    return this.ended(task_id, headers);
  }

  /** Submits a batch, which must be accepted. */
  async batch(body: object): Promise<BatchAnswer> {
    return this.#accepted<BatchAnswer>(await this.request("POST", "/api/v1/batch_predict", { body }));
  }

  /** A task as it is now. */
  async task(id: string, headers: Readonly<Record<string, string>> = {}): Promise<TaskView> {
    return this.#accepted<TaskView>(await this.request("GET", `/api/v1/task/${id}`, { headers }));
  }

  /** A task when it has ended. */
  async ended(id: string, headers: Readonly<Record<string, string>> = {}): Promise<TaskView> {
    const task = this.#accepted<TaskView>(await this.request("GET", `/api/v1/task/${id}?wait=55`, { headers }));
    assert.ok(task.finished_at !== null, `task ${id} has not ended: ${JSON.stringify(task)}`);
    return task;
  }

  async tasks(query = "", headers: Readonly<Record<string, string>> = {}): Promise<TasksAnswer> {
    return this.#accepted<TasksAnswer>(await this.request("GET", `/api/v1/tasks${query}`, { headers }));
  }

  async gpus(): Promise<GpusAnswer["gpus"]> {
    return this.#accepted<GpusAnswer>(await this.request("GET", "/api/v1/gpus")).gpus;
  }

  #accepted<Body>({ status, body }: Answer<unknown>): Body {
    assert.equal(status, 200, JSON.stringify(body));
    return body as Body;
  }
}

function isLoaded({ msg, ...line }: LogLine): boolean {
  return msg === "GPU state changed" && line["state"] !== "starting";
}

/** The header of a login with a password. */
export function basic(user: string, password: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}
