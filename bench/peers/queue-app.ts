/**
 * The smallest durable application of a queue of others, in two processes: a front that answers a POST when the queue has the job, and a
 * worker that does nothing. The first message says which it is, and is answered when it runs: by the front with its port. Each later one
 * is answered with the jobs that have ended.
 */
import { createRequire } from "node:module";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fastify from "fastify";

export interface Part {
  readonly role: "front" | "worker";
  readonly queue: "BullMQ" | "pg-boss";
  /** A folder whose node_modules has the queue's packages. */
  readonly packages: string;
  /** Of Redis: its socket. Of PostgreSQL: the folder of its socket. */
  readonly socket: string;
}

/** What is used of bullmq. */
interface BullMq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => { add(name: string, data: unknown, options: object): Promise<unknown> };
  readonly Worker: new (
    name: string,
    run: () => Promise<null>,
    options: object,
  ) => { waitUntilReady(): Promise<unknown> };
}

/** What is used of pg-boss. */
interface PgBoss {
  on(event: "error" | "warning", listener: () => void): void;
  start(): Promise<unknown>;
  createQueue(name: string, options: object): Promise<void>;
  send(name: string, data: unknown): Promise<string | null>;
  work(name: string, options: object, run: (jobs: readonly unknown[]) => Promise<void>): Promise<string>;
}

const NAME = "tasks";
/** Jobs of a worker at once, or of one fetch. */
const CONCURRENCY = 64;
const FETCHED = 100;
/** Connections to PostgreSQL of each process. */
const POOL = 32;

const SCHEMA = {
  body: {
    type: "object",
    required: ["text"],
    properties: { text: { type: "string" }, max_length: { type: "integer" }, temperature: { type: "number" } },
  },
};

let ended = 0;

if (process.send) {
  process.once("message", (part: Part) => void run(part));
  process.once("disconnect", () => process.exit(0));
}

async function run(part: Part): Promise<void> {
  const answer = part.role === "front" ? await listen(part) : await work(part);
  process.on("message", () => process.send?.(ended));
  process.send?.(answer);
}

async function listen(part: Part): Promise<number> {
  const add = part.queue === "BullMQ" ? bullAdder(part) : await bossAdder(part);
  const app = fastify();
  app.post("/tasks", { schema: SCHEMA }, async (request, reply) =>
    reply.code(202).send({ id: await add(request.body) }),
  );
  await app.listen({ host: "127.0.0.1", port: 0 });
  return (app.server.address() as AddressInfo).port;
}

async function work(part: Part): Promise<null> {
  if (part.queue === "BullMQ") {
    const { Worker } = bullOf(part);
    const count = async (): Promise<null> => {
      ended++;
      return null;
    };
    const options = { concurrency: CONCURRENCY, connection: { path: part.socket, maxRetriesPerRequest: null } };
    await new Worker(NAME, count, options).waitUntilReady();
    return null;
  }
  const boss = await bossOf(part);
  await boss.work(NAME, { batchSize: FETCHED, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }, async (jobs) => {
    ended += jobs.length;
  });
  return null;
}

function bullOf({ packages }: Part): BullMq {
  return createRequire(join(packages, "package.json"))("bullmq") as BullMq;
}

function bullAdder(part: Part): (data: unknown) => Promise<unknown> {
  const { Queue } = bullOf(part);
  const queue = new Queue(NAME, { connection: { path: part.socket } });
  return (data) => queue.add("task", data, { removeOnComplete: 10_000 });
}

async function bossOf({ packages, socket }: Part): Promise<PgBoss> {
  const path = createRequire(join(packages, "package.json")).resolve("pg-boss");
  const { PgBoss } = (await import(pathToFileURL(path).href)) as { PgBoss: new (options: object) => PgBoss };
  const boss = new PgBoss({ host: socket, user: "postgres", database: "postgres", max: POOL, useListenNotify: true });
  // An emitter without a listener would end the process; a failure shows in the answers.
  for (const event of ["error", "warning"] as const) boss.on(event, () => {});
  await boss.start();
  await boss.createQueue(NAME, { notify: true });
  return boss;
}

async function bossAdder(part: Part): Promise<(data: unknown) => Promise<unknown>> {
  const boss = await bossOf(part);
  return (data) => boss.send(NAME, data);
}
