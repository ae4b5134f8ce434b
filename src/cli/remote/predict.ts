/** `alt-las predict`: submits one task and writes its text as it comes. */
import { said } from "../../words/terminal.ts";
import type { TaskView } from "../../http/schemas/tasks.ts";
import type { DryRunAnswer } from "../../http/schemas/submissions.ts";
import { AltLasError } from "../../errors.ts";
import { wrap } from "../table.ts";
import { unfitness } from "./answer-form.ts";
import { ask, eventsFrom, type Remote, type ServerEvent } from "./client.ts";
import { exitCodeOf, INTERRUPTED, type Places, readToEnd, TextWriter } from "./follow.ts";
import { endOf } from "./ids.ts";
import { linesOfLogprobs } from "./logprobs.ts";
import { jsonText, legible } from "../../common/legible.ts";
import { painted } from "./terminal.ts";
import { tookWords } from "./times.ts";
import { WaitNotes } from "./wait-notes.ts";

export interface PredictOptions extends Places {
  readonly remote: Remote;
  /** The body of `POST /predict`: the server says what is wrong with it. */
  readonly request: object;
  /** false: print the task's id and leave. */
  readonly waits: boolean;
  /** Only ask what would become of it. */
  readonly isDry?: boolean;
  /** Print what the server answers: the task as it ended, or as it was submitted. */
  readonly json: boolean;
  /** Ends the command and cancels the task. */
  readonly signal: AbortSignal;
}

/** @returns the exit code: 0 when the task has completed, or was accepted and is not waited for @throws {AltLasError} as `ask` */
export async function predict(options: PredictOptions): Promise<number> {
  if (options.isDry === true) return tryOut(options);
  return options.waits ? stream(options) : submit(options);
}

async function tryOut({ remote, request, json, out, signal }: PredictOptions): Promise<number> {
  const question = { method: "POST", body: request, signal } as const;
  const answer = (await ask(remote, "predict?dry_run=true", "status", question)) as DryRunAnswer;
  if (json) out.write(`${jsonText(answer, 2)}\n`);
  else {
    const { gpu_id, placement, waiting } = legible(answer);
    const wouldRun = `It would start at once on GPU ${gpu_id}. ${placement?.reason ?? ""}`.trim();
    const sentence = waiting === null ? wouldRun : `It would wait: ${waiting.sentence}`;
    out.write(`${wrap(said(sentence), out.columns ?? Infinity)}\n`);
  }
  return 0;
}

async function submit({ remote, request, json, out, err, signal }: PredictOptions): Promise<number> {
  const answer = (await ask(remote, "predict", "task_id", { method: "POST", body: request, signal })) as {
    task_id: string;
  };
  out.write(`${json ? jsonText(answer, 2) : answer.task_id}\n`);
  if (!json && err.columns !== null)
    err.write(`${wrap(said(`Submitted. alt-las task ${endOf(answer.task_id)} --follow shows it.`), err.columns)}\n`);
  return 0;
}

async function stream({ remote, request, json, out, err, signal }: PredictOptions): Promise<number> {
  const writer = json ? null : new TextWriter({ out, err });
  const notes = writer === null || err.columns === null ? null : new WaitNotes(remote, writer);
  let id: string | null = null;
  try {
    const events = eventsFrom(remote, "predict", {
      method: "POST",
      body: { ...request, stream: true, cancel_on_disconnect: true },
      signal,
      onStart: (headers) => {
        id = headers.get("x-task-id");
        if (id !== null) notes?.start(id);
      },
    });
    const onEvent = (_event: ServerEvent): void => notes?.stop();
    const task = await readToEnd(events, { onEvent, writer });
    writer?.end(task);
    tellEnd(task, { request, out, err, json });
    return exitCodeOf(task);
  } catch (error) {
    writer?.end(null);
    if (!signal.aborted) throw error;
    err.write(`${said(await cancelNow(remote, id))}\n`);
    return INTERRUPTED;
  } finally {
    notes?.stop();
  }
}

type Told = Places & Pick<PredictOptions, "request" | "json">;

function tellEnd(task: TaskView, { request, out, err, json }: Told): void {
  const { status, error, error_code, result, gpu_id, task_id } = legible(task);
  const told = (sentence: string): void =>
    err.write(`${painted("dim", wrap(said(sentence), err.columns ?? Infinity), err.colour)}\n`);
  if (json) out.write(`${jsonText(task, 2)}\n`);
  else if (status === "failed")
    return err.write(
      `${wrap(said(`The task failed: ${error ?? "no reason was given"} (${error_code ?? "no code"})`), err.columns ?? Infinity)}\n`,
    );
  else if (status === "canceled") return err.write(`${said("The task was canceled.")}\n`);
  if (status !== "completed" || result === undefined) return;
  // A program that gets another form than it asked for must find out why.
  const why = unfitness(request, { result }, "--max-length");
  if (why !== null) told(why);
  if (!json && (result.logprobs ?? []).length > 0) err.write(`${linesOfLogprobs(result.logprobs ?? [])}\n`);
  // Beside a text that goes into a file or a program this would only be in the way.
  if (json || err.columns === null) return;
  const { usage, finish_reason, execution_time } = result;
  told(
    `${usage.completion_tokens} tokens in ${tookWords(execution_time)} on GPU ${gpu_id}, finished by ${finish_reason} (${endOf(task_id)})`,
  );
}

/** Seconds that a cancellation may take before the command ends without its answer. */
const CANCEL_PATIENCE = 5;

/** The closed connection cancels the task; asking for it as well tells what became of it. @returns a sentence */
async function cancelNow(remote: Remote, id: string | null): Promise<string> {
  if (id === null) return "Interrupted before the server had accepted the task.";
  try {
    await ask({ ...remote, patience: CANCEL_PATIENCE }, `task/${id}/cancel`, "task_id", { method: "POST" });
  } catch (error) {
    if (!(error instanceof AltLasError)) throw error;
    // The closed connection was faster, or the task had ended.
    if (error.code !== "conflict") return `Interrupted; the server cancels the task ${endOf(id)}.`;
  }
  return `Interrupted: the task ${endOf(id)} is canceled.`;
}
