/**
 * The least that a durable streamed task needs of the parts that ALT_LAS is made of: Node's HTTP server, SQLite in a thread of its own, and undici
 * in a process of its own. Of a request only the key is compared; nothing is chosen, counted or limited, and no other client would be content with it.
 *
 *     npm run bench -- streamed --checkout bench/floor
 */
import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Collected } from "./collected.ts";
import type { News, Order } from "./engine.ts";
import type { Row } from "./store.ts";

interface Task {
  text: string;
  /** Whether it is on disk. */
  isStored: boolean;
  /** What its engine counted; null: it has not ended. */
  usage: object | null;
  /** Something has changed. */
  changed(): void;
}

interface Body {
  readonly text?: string;
  readonly messages?: readonly object[];
}

const { values } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["config", "data-dir", "devices", "host", "port"].map((name) => [name, { type: "string" as const }]),
  ),
});
const { engine: settings } = JSON.parse(readFileSync(values["config"]!, "utf8")) as { engine: { url: string } };
const key = `Bearer ${process.env["ALT_LAS_API_KEY"]}`;
const tasks = new Map<number, Task>();
let last = 0;

const store = new Worker(join(import.meta.dirname, "store.ts"), { workerData: join(values["data-dir"]!, "floor.db") });
/** Writes that wait for the commit under way. */
let waiting: { readonly row: Row; readonly done: () => void }[] = [];
/** Those to tell of that commit; null: there is none. */
let committing: readonly (() => void)[] | null = null;

function write(row: Row, done: () => void): void {
  if (waiting.push({ row, done }) === 1) setImmediate(commit);
}

function commit(): void {
  if (committing !== null || waiting.length === 0) return;
  committing = waiting.map(({ done }) => done);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  store.postMessage(waiting.map(({ row }) => row));
  waiting = [];
}

store.on("message", () => {
  const all = committing!;
  committing = null;
  commit();
  for (const done of all) done();
});

const engine = fork(join(import.meta.dirname, "engine.ts"), [settings.url]);
const orders = new Collected<Order>((all) => engine.send(all));
engine.on("message", (all: readonly News[]) => {
  for (const { number, text, usage } of all) {
    const task = tasks.get(number)!;
    task.text += text ?? "";
    task.usage = usage ?? null;
    task.changed();
  }
});

function answer(request: IncomingMessage, response: ServerResponse, body: Body): void {
  if (request.headers.authorization !== key) return void response.writeHead(401).end();
  const isChat = request.url === "/v1/chat/completions";
  if (!isChat && request.url !== "/api/v1/predict") return void response.writeHead(404).end();
  const number = ++last;
  const id = randomUUID();
  const now = Date.now();
  const event = (name: string, data: object): string =>
    `${isChat ? "" : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
  let isBegun = false;
  const task: Task = {
    text: "",
    isStored: false,
    usage: null,
    changed() {
      const { text, usage } = task;
      if (!task.isStored || text === "") return;
      if (!isBegun) {
        isBegun = true;
        response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
        const delta = { role: "assistant", content: text };
        response.write(event("token", { id, created: now, choices: [{ index: 0, delta, finish_reason: null }] }));
      }
      if (usage === null) return;
      tasks.delete(number);
      const end = event("completed", { id, status: "completed", result: { text, usage } });
      const row = ["completed", Date.now(), text, 0.001, "length", 8, 1, number];
      write(row, () => response.end(isChat ? `${end}data: [DONE]\n\n` : end));
    },
  };
  tasks.set(number, task);
  write(newRow({ number, id, now, request: JSON.stringify(body) }), () => {
    task.isStored = true;
    task.changed();
  });
  orders.add({ number, body });
}

/** As many values, and as long ones, as a real task has. */
function newRow({ number, id, now, request }: { number: number; id: string; now: number; request: string }): Row {
  const sampling = JSON.stringify({ maxTokens: 1, temperature: 0.7, seed: 2 ** 31 });
  const placement = JSON.stringify(["least_loaded", 0, { code: "only" }, [0, 0], {}, 1]);
  const fixed = ["admin", "least_loaded", 0, now, 17, 20, sampling, "text_generation", "normal", "first"];
  return [number, id, ...fixed, request, "running", "[1]", 0, now, placement, "model", "[0,null,null]"];
}

const server = createServer((request, response) => {
  if (request.method === "GET") return void response.writeHead(200).end("{}");
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => answer(request, response, JSON.parse(Buffer.concat(parts).toString()) as Body));
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`The floor listens on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once("SIGTERM", () => {
  engine.kill();
  process.exit(0);
});
