/**
 * The worker process of one GPU: does what the server's messages say with one engine, and tells what came of it.
 *
 * It belongs to its parent. Signals are the parent's business, so those that a terminal or a service manager sends to the whole
 * group are ignored here; and when the channel closes, for whatever reason, the process ends at once.
 */
import { type DeviceMemory, type Engine, type EngineEnd } from "../../engine/engine.ts";
import { createEngine } from "../../engine/open.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { ignoreSignals } from "./child-environment.ts";
import { visibleCudaGpus } from "./cuda.ts";
import {
  type FromWorker,
  HEARTBEAT_MS,
  type RunRequest,
  type StepEnd,
  type StepPiece,
  type StepStart,
  type ToWorker,
} from "./messages.ts";
import { useOf } from "./process-use.ts";

/** The runs that have not ended. */
const runs = new Map<number, AbortController>();
let engine: Engine | undefined;
let deviceMemory: DeviceMemory | null = null;
let leaving = false;

/** What the next `step` message will say. One piece for each run, however many tokens it got since the last message. */
let starts: StepStart[] = [];
let pieces = new Map<number, { run: number; text: string; tokens: number }>();
let ends: StepEnd[] = [];
/** Turns of the event loop until it goes; null: there is nothing to say. */
let turnsLeft: number | null = null;
/** For a task's first text and its end: once all that follows from the same step has come together. */
const AT_ONCE = 1;
/** For the rest: once the engine has begun its next step, which would have to wait while the message is written. */
const BESIDE_THE_NEXT_STEP = 2;

function send(message: FromWorker, sent?: () => void): void {
  // A channel that has closed ends this process anyway: see "disconnect".
  process.send?.(message, undefined, {}, () => sent?.());
}

function onMessage(message: ToWorker): void {
  switch (message.type) {
    case "load":
      void load(message);
      break;
    case "run":
      for (const request of message.requests) void start(request);
      break;
    case "cancel":
      for (const run of message.runs) runs.get(run)?.abort();
      break;
    case "stop":
      void stop();
      break;
  }
}

async function load({ gpuId, engine: options, proveCuda }: Extract<ToWorker, { type: "load" }>): Promise<void> {
  process.title = `alt-las worker gpu ${gpuId}`;
  try {
    engine = await createEngine(options, gpuId);
    const info = await engine.load();
    void engine.gone?.then(onGone);
    send({ type: "loaded", info, gpus: proveCuda ? await visibleCudaGpus() : null });
  } catch (error) {
    const { code, sentence } = failureOf(error);
    // Who cannot be reached may be there later; what was refused stays so.
    send(code === "gpu_lost" ? { type: "lost", sentence } : { type: "refused", code, sentence }, leave);
  }
}

/** The engine cannot go on. What of its tasks it has not told yet is cut off. */
function onGone({ sentence, crashed }: EngineEnd): void {
  if (leaving) return;
  if (!crashed) return send({ type: "lost", sentence }, leave);
  console.error(sentence);
  process.exit(1);
}

async function stop(): Promise<void> {
  await engine?.stop();
  leave();
}

/** Closes the channel, after which the process ends by itself. What was sent before arrives. */
function leave(): void {
  leaving = true;
  if (process.connected) process.disconnect();
}

async function start({ run, request }: RunRequest): Promise<void> {
  const controller = new AbortController();
  const startedAt = performance.now();
  let lastTokenAt = startedAt;
  runs.set(run, controller);
  try {
    if (engine === undefined) throw new AltLasError("model_error", "The model is not loaded.");
    const outcome = await engine.generate({
      request,
      signal: controller.signal,
      begin: (promptTokens) => void starts.push({ run, promptTokens }),
      emit: (text, tokens) => {
        addPiece({ run, text, tokens });
        sendWithin(lastTokenAt === startedAt ? AT_ONCE : BESIDE_THE_NEXT_STEP);
        lastTokenAt = performance.now();
      },
    });
    addEnd({ run, type: "finished", ...outcome, executionTime: (lastTokenAt - startedAt) / 1000 });
  } catch (error) {
    addEnd({ run, type: "error", ...failureOf(error) });
  }
}

function failureOf(error: unknown): Pick<StepEnd & { type: "error" }, "code" | "sentence" | "retryAfter"> {
  if (error instanceof AltLasError) {
    const { code, message: sentence, retryAfter } = error;
    return { code, sentence, ...(retryAfter !== undefined && { retryAfter }) };
  }
  return { code: "model_error", sentence: `The engine failed: ${messageOf(error)}` };
}

function addPiece(piece: StepPiece): void {
  const earlier = pieces.get(piece.run);
  if (earlier === undefined) {
    pieces.set(piece.run, { ...piece });
  } else {
    earlier.text += piece.text;
    earlier.tokens += piece.tokens;
  }
}

function addEnd(end: StepEnd): void {
  runs.delete(end.run);
  ends.push(end);
  sendWithin(AT_ONCE);
}

/**
 * The engine reports a step's tokens in one go, and the ends and slots that come of it before the event loop turns: one message has
 * it all.
 */
function sendWithin(turns: number): void {
  if (turnsLeft === null) setImmediate(onTurn);
  turnsLeft = Math.min(turnsLeft ?? turns, turns);
}

function onTurn(): void {
  turnsLeft = turnsLeft! - 1;
  if (turnsLeft > 0) setImmediate(onTurn);
  else flush();
}

function flush(): void {
  const step: FromWorker = { type: "step", starts, pieces: [...pieces.values()], ends };
  turnsLeft = null;
  starts = [];
  pieces = new Map();
  ends = [];
  send(step);
}

function beat(): void {
  const { user, system } = process.cpuUsage();
  const serverPid = engine?.serverPid ?? null;
  const server = serverPid === null ? null : useOf(serverPid);
  send({
    type: "heartbeat",
    cpuSeconds: (user + system) / 1e6 + (server?.cpuSeconds ?? 0),
    residentBytes: process.memoryUsage.rss() + (server?.residentBytes ?? 0),
    serverPid,
    progress: engine?.progress ?? 0,
    deviceMemory,
    upstream: engine?.upstream ?? null,
  });
  void lookAtMemory();
}

/** For the next heartbeat: a library that takes its time, or fails, must not keep this one from being sent. */
async function lookAtMemory(): Promise<void> {
  deviceMemory = (await engine?.deviceMemory().catch(() => null)) ?? null;
}

process.on("message", onMessage);
ignoreSignals();
process.on("disconnect", () => {
  // Without a parent there is nobody to work for. Only SIGKILL doesn't wait for what native code is doing on its threads.
  if (leaving) process.exit(0);
  process.kill(process.pid, "SIGKILL");
});
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});
beat();
setInterval(beat, HEARTBEAT_MS);
