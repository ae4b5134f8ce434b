/**
 * A program that stands in for llama.cpp's server: it speaks the part of its protocol that src/engine/llama-server/llama-server.ts uses, and fails as
 * it is told to. Its first argument says how, as JSON; those of llama-server follow.
 *
 * A text has one token for every 4 of its bytes. Each task generates one word a millisecond, all of them in step. What goes wrong with a
 * prompt that contains a word of `tasks` stands there.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text as textOf } from "node:stream/consumers";
import { parseArgs } from "node:util";

/** Something that goes wrong with one task, after so many tokens. */
export type StandInFault =
  | {
      readonly kind: "refuse";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body: string;
    }
  /** Sends this as it is, and goes on; `ifHeld`: only where it is to hold the answer to a grammar. */
  | { readonly kind: "say"; readonly data: string; readonly after: number; readonly ifHeld?: boolean }
  /** Closes the connection; ends the answer as if it were complete; sends nothing more; does nothing more at all; dies. */
  | { readonly kind: "cut" | "end" | "stall" | "freeze" | "die"; readonly after: number }
  /** Takes so many milliseconds for each token. */
  | { readonly kind: "slow"; readonly pause: number };

export interface StandInFaults {
  readonly tasks?: Readonly<Record<string, StandInFault>>;
  /** How many tasks nothing happens to at first; default 0. */
  readonly spared?: number;
  /** What it prints for `--list-devices`. */
  readonly devices?: readonly string[];
  /** Says this, and ends with status 1 or by the signal, instead of loading a model. */
  readonly load?: { readonly words: string; readonly signal?: NodeJS.Signals };
  /** Never gets its model loaded. */
  readonly loadsForEver?: boolean;
  /** What it answers on these paths. */
  readonly pages?: Readonly<Record<string, { readonly status: number; readonly body: string }>>;
}

interface Run {
  readonly response: ServerResponse;
  readonly fault: StandInFault | undefined;
  readonly prompt: readonly number[];
  readonly limit: number;
  readonly cached: number;
  tokens: number;
  dueAt: number;
}

const WORDS = ["the", "lamp", "ğün", "stays", "on", "日本", "until", "🙂", "morning"];

const faults = JSON.parse(process.argv[2]!) as StandInFaults;
const { values } = parseArgs({
  args: process.argv.slice(3),
  strict: false,
  options: Object.fromEntries(
    ["host", "port", "parallel", "ctx-size", "model"].map((name) => [name, { type: "string" as const }]),
  ),
});
const runs = new Set<Run>();
let asked = 0;
/** The prompts that its slots hold. */
let held: (readonly number[])[] = [];
let timer: NodeJS.Timeout | undefined;

const pages: Record<string, (body: Record<string, unknown>) => object> = {
  "/health": () => ({ status: "ok" }),
  "/slots": () => [...runs].map((_, id) => ({ id })),
  "/props": () => ({
    default_generation_settings: { n_ctx: Math.ceil(Number(values["ctx-size"]) / Number(values.parallel) / 256) * 256 },
    total_slots: Number(values.parallel),
    build_info: "stand-in",
  }),
  "/tokenize": ({ content }) => ({ tokens: tokensOf(String(content)) }),
};

function tokensOf(text: string): number[] {
  const bytes = new Uint8Array(Math.ceil(Buffer.byteLength(text) / 4) * 4);
  bytes.set(Buffer.from(text));
  return [...new Int32Array(bytes.buffer)];
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const text = await textOf(request);
  const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
  const path = request.url!;
  const told = faults.pages?.[path];
  if (request.headers.authorization !== `Bearer ${process.env.LLAMA_API_KEY}`) return send(response, 401, "no key");
  if (told !== undefined) return send(response, told.status, told.body);
  if (faults.loadsForEver) return send(response, 503, JSON.stringify({ error: { message: "Loading model" } }));
  if (path === "/completion") return generate(response, body);
  const page = pages[path];
  send(response, page === undefined ? 404 : 200, JSON.stringify(page?.(body) ?? {}));
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}

function generate(response: ServerResponse, { prompt, n_predict, grammar }: Record<string, unknown>): void {
  const tokens = typeof prompt === "string" ? tokensOf(prompt) : (prompt as number[]);
  const text = Buffer.from(Int32Array.from(tokens).buffer).toString();
  const found = Object.entries(faults.tasks ?? {}).find(([word]) => text.includes(word))?.[1];
  const isSpared = asked++ < (faults.spared ?? 0) || (found?.kind === "say" && found.ifHeld === true && !grammar);
  const fault = isSpared ? undefined : found;
  if (fault?.kind === "refuse") return send(response, fault.status, fault.body, fault.headers);
  const cached = Math.min(Math.max(0, ...held.map((other) => sharedWith(other, tokens))), tokens.length - 1);
  held = [...held, tokens].slice(-Number(values.parallel));
  const run: Run = { response, fault, prompt: tokens, limit: Number(n_predict), cached, tokens: 0, dueAt: 0 };
  response.writeHead(200, { "content-type": "text/event-stream" }).on("close", () => runs.delete(run));
  say(run, { content: "", stop: false, prompt_progress: { total: tokens.length, cache: cached, processed: cached } });
  runs.add(run);
  timer ??= setTimeout(step, 1);
}

function sharedWith(one: readonly number[], other: readonly number[]): number {
  const different = one.findIndex((token, index) => token !== other[index]);
  return different === -1 ? one.length : different;
}

/** One token for each. */
function step(): void {
  const now = performance.now();
  for (const run of runs) if (run.dueAt <= now) advance(run, now);
  timer = runs.size > 0 ? setTimeout(step, 1) : undefined;
}

function advance(run: Run, now: number): void {
  const { fault, response } = run;
  if (fault?.kind === "slow") run.dueAt = now + fault.pause;
  if (fault !== undefined && "after" in fault && run.tokens === fault.after) happen(run, fault);
  if (!runs.has(run)) return;
  const word = WORDS[(run.prompt.length + run.tokens) % WORDS.length]!;
  run.tokens++;
  say(run, { content: `${run.tokens === 1 ? "" : " "}${word}`, stop: false });
  if (run.tokens < run.limit) return;
  say(run, { stop: true, stop_type: "limit", "timings/cache_n": run.cached });
  runs.delete(run);
  response.end();
}

function happen(run: Run, fault: Extract<StandInFault, { after: number }>): void {
  switch (fault.kind) {
    case "say":
      return void run.response.write(`data: ${fault.data}\n\n`);
    case "die":
      return void process.kill(process.pid, "SIGKILL");
    case "freeze":
      return void process.kill(process.pid, "SIGSTOP");
    case "cut":
      run.response.destroy();
      break;
    case "end":
      run.response.end();
      break;
    case "stall":
      break;
  }
  runs.delete(run);
}

function say(run: Run, event: object): void {
  const counts = { tokens_predicted: run.tokens, tokens_evaluated: run.prompt.length };
  run.response.write(`data: ${JSON.stringify({ ...counts, ...event })}\n\n`);
}

if (process.argv.includes("--list-devices")) {
  console.log(["Available devices:", ...(faults.devices ?? ["(none)"])].join("\n  "));
} else if (faults.load !== undefined) {
  console.error(faults.load.words);
  if (faults.load.signal !== undefined) process.kill(process.pid, faults.load.signal);
  process.exitCode = 1;
} else {
  const server = createServer((request, response) => void answer(request, response));
  const host = String(values.host);
  if (host.endsWith(".sock")) server.listen(host);
  else server.listen(Number(values.port), host);
}
