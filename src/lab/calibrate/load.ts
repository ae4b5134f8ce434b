/** Keeps a number of tasks running on one GPU of a real server, and tells what each took that ran beside the others. */
import { randomInt } from "node:crypto";
import type { TaskView } from "../../http/schemas/tasks.ts";
import { eventsFrom, type Remote } from "../../cli/remote/client.ts";
import { readToEnd } from "../../cli/remote/follow.ts";
import { seededRandom } from "../../common/seeded.ts";
import { AltLasError } from "../../errors.ts";
import type { Sample } from "./fit.ts";

/** Where tasks go. */
export interface Target {
  readonly remote: Remote;
  readonly gpuId: number;
  /** null: there is one, or any will do. */
  readonly model: string | null;
  /** Whether the model continues texts as they are. */
  readonly continues: boolean;
  /** Tokens of a slot. */
  readonly context: number;
}

/** The size of one task: about so many tokens. */
export interface Shape {
  readonly prompt: number;
  readonly answer: number;
}

/** One task that has ended. */
export interface Measured extends Sample {
  readonly cached: number | null;
}

/** Seconds that a task may wait on a GPU that has a free slot. */
const LONGEST_WAIT = 1;

/** A time that is shown as none. */
const LEAST_SECONDS = 0.001;

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
/** Another one each time: the caches may have what the last calibration has sent. */
const first = randomInt(2 ** 31);
let texts = 0;

/** Words that nobody has asked before, so that no cache has them. @param tokens about */
export function freshText(tokens: number): string {
  const uniform = seededRandom(first + ++texts);
  const letter = (): string => LETTERS[Math.floor(uniform() * LETTERS.length)]!;
  return Array.from({ length: tokens }, () => letter() + letter() + letter()).join(" ");
}

/** Loads the model where it is not there yet, for which the task waits. @throws {AltLasError} as `ran` */
export async function warmUp(target: Target, signal: AbortSignal): Promise<void> {
  measuredOf(await ended(target, freshText(8), 4, signal), target.gpuId);
}

/** Runs one task to its end. @throws {AltLasError} what the server refused; `bad_config`: it waited, or failed */
export async function ran(target: Target, text: string, answer: number, signal: AbortSignal): Promise<Measured> {
  const task = await ended(target, text, answer, signal);
  const measured = measuredOf(task, target.gpuId);
  refuseWait(task, target.gpuId);
  return measured;
}

async function ended(target: Target, text: string, answer: number, signal: AbortSignal): Promise<TaskView> {
  const { remote, gpuId, model, continues } = target;
  const body = {
    text,
    max_length: answer,
    ...(model !== null && { model }),
    ...(continues && { raw: true }),
    gpu_options: { specific_gpu_id: gpuId },
    stream: true,
    cancel_on_disconnect: true,
  };
  const events = eventsFrom(remote, "predict", { method: "POST", body, signal });
  return readToEnd(events, { onEvent: () => {}, writer: null });
}

function refuseWait({ created_at, started_at }: TaskView, gpuId: number): void {
  const waited = (Date.parse(started_at!) - Date.parse(created_at)) / 1000;
  if (waited <= LONGEST_WAIT) return;
  const sentence = `A task waited ${waited.toFixed(1)} s for GPU ${gpuId}, which had a free slot for it.`;
  const why =
    "Something else runs there, or this key's user has limits: calibrate with an admin's key while nothing else runs.";
  throw new AltLasError("bad_config", `${sentence} ${why}`);
}

function measuredOf({ status, result, error }: TaskView, gpuId: number): Measured {
  if (status !== "completed" || result === undefined)
    throw new AltLasError("bad_config", `A task on GPU ${gpuId} was ${status}. ${error ?? ""}`.trim());
  const { prompt_tokens: prompt, completion_tokens: answer, cached_tokens: cached } = result.usage;
  if (prompt === null)
    throw new AltLasError(
      "bad_config",
      `The server behind GPU ${gpuId} does not tell how long prompts are: measure it by other means.`,
    );
  return { prompt: prompt - (cached ?? 0), cached, answer, seconds: Math.max(LEAST_SECONDS, result.execution_time) };
}

/**
 * Keeps so many tasks running, and ends them when enough have run beside the others to their end.
 * @param enough tasks to tell of @param shapes of the tasks, in turns
 */
export async function beside(
  target: Target,
  inUse: number,
  enough: number,
  shapes: readonly Shape[],
  signal: AbortSignal,
): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  let begun = 0;
  const keep = async (): Promise<void> => {
    while (samples.length < enough && !either.aborted) {
      const { prompt, answer } = shapes[begun++ % shapes.length]!;
      const one = await ran(target, freshText(prompt), answer, either);
      if (samples.length < enough) samples.push(one);
    }
    done.abort();
  };
  const all = Array.from({ length: inUse }, () =>
    keep().catch((error: unknown) => {
      if (samples.length >= enough) return;
      done.abort();
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(all)).find((one) => one.status === "rejected");
  signal.throwIfAborted();
  if (failed !== undefined) throw failed.reason;
  return samples;
}
