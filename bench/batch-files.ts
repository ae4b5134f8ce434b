/** Batches of files beside the same tasks in `POST /batch_predict`: how many a second are done, and what the server needs for them. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { uuidBehind } from "../src/common/uuid.ts";
import { centreOf, type Extent, median, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const LINES = 50_000;
const ITEMS = 1000;
const MIB = 2 ** 20;
const MESSAGES = [{ role: "user", content: "Say in one word which month comes after November." }];
const CHAT = "/v1/chat/completions";
/** Milliseconds between two looks at the memory, each of which collects garbage. */
const SAMPLE = 500;
/** Milliseconds between two looks at what is done, which is counted each time. */
const LOOK = 200;

const CONFIG = {
  engine: { simulated: { tokens_per_second: 1_000_000 } },
  gpu: { multi_gpu: { max_queue_size: 1_000_000, max_concurrent_tasks_per_gpu: 64 } },
  server: { drain_timeout: 0 },
};

interface Figures {
  /** Tasks a second, from the first request for them to the end of the last. A file has been uploaded before. */
  readonly rate: number;
  /** Bytes of resident memory at most, above what the server had before. */
  readonly grown: number;
}

export async function batchFiles({ quick, profile }: Extent): Promise<Section> {
  const pairs = quick ? 1 : 11;
  const size = quick ? LINES / 10 : LINES;
  const ways = { file: ofFile, predict: ofBodies };
  const found: Record<keyof typeof ways, Figures[]> = { file: [], predict: [] };
  // A server of its own each time, so that none begins with the tasks of the one before; each way is first in turn.
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? (["file", "predict"] as const) : (["predict", "file"] as const);
    for (const way of order) found[way].push(await measured(ways[way], size, profile));
  }
  const ratio = centreOf(found.file.map(({ rate }, index) => rate / found.predict[index]!.rate));
  const more = median(found.file.map(({ grown }, index) => grown - found.predict[index]!.grown)) / MIB;
  const live = (await liveMemory(size)) / MIB;
  return {
    name: "batch-files",
    about:
      `${size} lines of a file by /v1/batches, checked and done, and the same tasks by /batch_predict, ${ITEMS} in a request; ` +
      `on four simulated devices that need no time for them. Medians of ${pairs} servers for each, in turn. Resident memory has SQLite's cache and ` +
      `what the heap keeps for later; live memory was measured with one more server.`,
    rows: (["file", "predict"] as const).map((way) => ({
      way,
      "tasks/s": Math.round(median(found[way].map(({ rate }) => rate))),
      "MiB resident, more than before": rounded(median(found[way].map((one) => one.grown)) / MIB, 0),
    })),
    bars: [
      {
        what: "tasks/s of a file, of those by /batch_predict",
        measured: ratio.value,
        margin: ratio.margin,
        atLeast: 0.9,
      },
      { what: "MiB resident, more than by /batch_predict", measured: more, atMost: 100 },
      { what: "MiB of live memory, more than before, while a file is done", measured: live, atMost: 100 },
    ],
  };
}

async function measured(
  work: (server: BenchServer, size: number) => Promise<number>,
  size: number,
  profile: boolean,
): Promise<Figures> {
  const server = await startServer({ devices: "simulated:4", config: CONFIG, profile });
  try {
    const before = residentOf(server, "VmRSS");
    const seconds = await work(server, size);
    return { rate: size / seconds, grown: residentOf(server, "VmHWM") - before };
  } finally {
    await server.stop();
  }
}

/** Bytes that the server has more, at most, while it does a file, than before; what is left to collect does not count. */
async function liveMemory(size: number): Promise<number> {
  const server = await startServer({ devices: "simulated:4", config: CONFIG, probe: true });
  const now = async (): Promise<number> => {
    const { heap, threads } = await server.memory();
    return heap + threads;
  };
  try {
    const before = await now();
    let most = before;
    const over = new AbortController();
    const done = ofFile(server, size).finally(() => over.abort());
    while (!over.signal.aborted) {
      most = Math.max(most, await now());
      await sleep(SAMPLE);
    }
    await done;
    return most - before;
  } finally {
    await server.stop();
  }
}

/** Bytes: now (VmRSS), or at most so far (VmHWM). */
function residentOf({ pid }: BenchServer, what: "VmRSS" | "VmHWM"): number {
  const [, kilobytes] = new RegExp(`^${what}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kilobytes) * 1024;
}

/** @returns the seconds from its creation to its end */
async function ofFile(server: BenchServer, size: number): Promise<number> {
  const lines = Array.from({ length: size }, (_, index) => {
    const body = { messages: MESSAGES, max_tokens: 1, temperature: 0 };
    return `${JSON.stringify({ custom_id: `request-${index}`, method: "POST", url: CHAT, body })}\n`;
  });
  const form = new FormData();
  form.append("purpose", "batch");
  form.append("file", new Blob([lines.join("")]), "lines.jsonl");
  const { host, port, authorization } = server;
  const uploaded = await fetch(`http://${host}:${port}/v1/files`, {
    method: "POST",
    headers: { authorization },
    body: form,
  });
  const { id: input_file_id } = (await uploaded.json()) as { id: string };
  const asked = { input_file_id, endpoint: CHAT, completion_window: "24h" };
  const started = Date.now();
  const { id } = await server.ask<{ id: string }>("/v1/batches", asked);
  for (;;) {
    const { status, request_counts } = await server.ask<BatchOfFile>(`/v1/batches/${id}`);
    if (status === "completed" && request_counts.completed === size) {
      return secondsFrom(started, await server.ask<BatchNow>(`/api/v1/batch/${uuidBehind("batch_", id)}`));
    }
    if (status !== "validating" && status !== "in_progress") {
      throw new Error(`the batch is ${status}: ${JSON.stringify(request_counts)}`);
    }
    await sleep(LOOK);
  }
}

interface BatchNow {
  readonly finished_at: string | null;
}

interface BatchOfFile {
  readonly status: string;
  readonly request_counts: { readonly completed: number };
}

/** @returns the seconds from the first request to the end of the last task */
async function ofBodies(server: BenchServer, size: number): Promise<number> {
  const started = Date.now();
  const item = { messages: MESSAGES, max_length: 1, temperature: 0, priority: "low" };
  const body = { batch: Array.from({ length: ITEMS }, () => item) };
  const ids: string[] = [];
  for (let sent = 0; sent < size; sent += ITEMS) {
    ids.push((await server.ask<{ batch_id: string }>("/api/v1/batch_predict", body)).batch_id);
  }
  let last = 0;
  for (const id of ids) {
    let batch = await server.ask<BatchNow>(`/api/v1/batch/${id}`);
    for (; batch.finished_at === null; batch = await server.ask<BatchNow>(`/api/v1/batch/${id}`)) await sleep(LOOK);
    last = Math.max(last, secondsFrom(started, batch));
  }
  return last;
}

/** The server says when the last task ended: looking for that all the time would cost it more than the tasks. */
function secondsFrom(started: number, { finished_at: finished }: BatchNow): number {
  return (Date.parse(finished!) - started) / 1000;
}
