/** Batches of files beside the same tasks in `POST /batch_predict`: how many a second are done, and what the server needs for them. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { centreOf, type Extent, median, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const LINES = 50_000;
const ITEMS = 1000;
const MIB = 2 ** 20;
const MESSAGES = [{ role: "user", content: "Say in one word which month comes after November." }];
const CHAT = "/v1/chat/completions";
/** Milliseconds between two looks at what is done. */
const LOOK = 20;

const CONFIG = {
  engine: { simulated: { tokens_per_second: 1_000_000 } },
  gpu: { multi_gpu: { max_queue_size: 1_000_000, max_concurrent_tasks_per_gpu: 64 } },
  server: { drain_timeout: 0 },
};

interface Figures {
  /** Tasks a second, from the first byte that is sent to the end of the last task. */
  readonly rate: number;
  /** Bytes of resident memory at most, above what the server had before. */
  readonly grown: number;
}

export async function batchFiles({ quick, profile }: Extent): Promise<Section> {
  const pairs = quick ? 1 : 5;
  const size = quick ? LINES / 10 : LINES;
  const ways = { file: ofFile, predict: ofBodies };
  const found: Record<keyof typeof ways, Figures[]> = { file: [], predict: [] };
  // A server of its own each time, so that none begins with the tasks of the one before; each way is first in turn.
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? (["file", "predict"] as const) : (["predict", "file"] as const);
    for (const way of order) found[way].push(await measured(ways[way], size, profile));
  }
  const ratio = centreOf(found.file.map(({ rate }, index) => rate / found.predict[index]!.rate));
  const grown = median(found.file.map((one) => one.grown)) / MIB;
  return {
    name: "batch-files",
    about:
      `${size} lines of a file by /v1/batches, uploaded, checked and done, and the same tasks by /batch_predict, ${ITEMS} in a request; ` +
      `on four simulated devices that need no time for them. Medians of ${pairs} servers for each, in turn.`,
    rows: (["file", "predict"] as const).map((way) => ({
      way,
      "tasks/s": Math.round(median(found[way].map(({ rate }) => rate))),
      "MiB more at most": rounded(median(found[way].map((one) => one.grown)) / MIB, 0),
    })),
    bars: [
      {
        what: "tasks/s of a file, of those by /batch_predict",
        measured: ratio.value,
        margin: ratio.margin,
        atLeast: 0.9,
      },
      { what: "MiB that the server grows by while it does a file", measured: grown, atMost: 100 },
    ],
  };
}

async function measured(
  work: (server: BenchServer, size: number) => Promise<void>,
  size: number,
  profile: boolean,
): Promise<Figures> {
  const server = await startServer({ devices: "simulated:4", config: CONFIG, profile });
  try {
    const before = residentOf(server, "VmRSS");
    const started = performance.now();
    await work(server, size);
    const seconds = (performance.now() - started) / 1000;
    return { rate: size / seconds, grown: residentOf(server, "VmHWM") - before };
  } finally {
    await server.stop();
  }
}

/** Bytes: now (VmRSS), or at most so far (VmHWM). */
function residentOf({ pid }: BenchServer, what: "VmRSS" | "VmHWM"): number {
  const [, kilobytes] = new RegExp(`^${what}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kilobytes) * 1024;
}

async function ofFile(server: BenchServer, size: number): Promise<void> {
  const lines = Array.from({ length: size }, (_, index) => {
    const body = { messages: MESSAGES, max_tokens: 1, temperature: 0 };
    return `${JSON.stringify({ custom_id: `request-${index}`, method: "POST", url: CHAT, body })}\n`;
  });
  const form = new FormData();
  form.append("purpose", "batch");
  form.append("file", new Blob(lines), "lines.jsonl");
  const { host, port, authorization } = server;
  const uploaded = await fetch(`http://${host}:${port}/v1/files`, {
    method: "POST",
    headers: { authorization },
    body: form,
  });
  const { id: input_file_id } = (await uploaded.json()) as { id: string };
  const asked = { input_file_id, endpoint: CHAT, completion_window: "24h" };
  const { id } = await server.ask<{ id: string }>("/v1/batches", asked);
  for (;;) {
    const { status, request_counts } = await server.ask<BatchOfFile>(`/v1/batches/${id}`);
    if (status === "completed" && request_counts.completed === size) return;
    if (status !== "validating" && status !== "in_progress") {
      throw new Error(`the batch is ${status}: ${JSON.stringify(request_counts)}`);
    }
    await sleep(LOOK);
  }
}

interface BatchOfFile {
  readonly status: string;
  readonly request_counts: { readonly completed: number };
}

async function ofBodies(server: BenchServer, size: number): Promise<void> {
  const item = { messages: MESSAGES, max_length: 1, temperature: 0, priority: "low" };
  const body = { batch: Array.from({ length: ITEMS }, () => item) };
  const ids: string[] = [];
  for (let sent = 0; sent < size; sent += ITEMS) {
    ids.push((await server.ask<{ batch_id: string }>("/api/v1/batch_predict", body)).batch_id);
  }
  for (const id of ids) {
    while ((await server.ask<{ progress: number }>(`/api/v1/batch/${id}`)).progress < 1) await sleep(LOOK);
  }
}
