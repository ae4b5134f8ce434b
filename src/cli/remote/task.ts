/** `alt-las task <id>`: one task, and with `--follow` its text as it comes. */
import type { TaskView } from "../../http/schemas/tasks.ts";
import { AltLasError } from "../../errors.ts";
import { ask, type Remote, type ServerEvent } from "./client.ts";
import { eventLine, exitCodeOf, INTERRUPTED, type Places, readToEnd, TextWriter } from "./follow.ts";
import { idsMeant } from "./ids.ts";
import { lastingEvents } from "./lasting.ts";
import { jsonText } from "../../common/legible.ts";
import { taskPage } from "./task-page.ts";
import type { Listed } from "./tasks.ts";
import { WaitNotes } from "./wait-notes.ts";

export interface TaskOptions extends Places {
  readonly remote: Remote;
  /** As idsMeant takes it. */
  readonly id: string;
  readonly json: boolean;
  /** Ends the command; the task goes on. */
  readonly signal: AbortSignal;
  /** Milliseconds between two tries when a connection has broken. */
  readonly pause?: number;
}

/** Prints a task. @throws {AltLasError} as `ask` */
export async function showTask({ remote, id: given, json, out }: TaskOptions): Promise<void> {
  const [id] = await idsMeant(remote, [given]);
  const task = await whole(remote, id!);
  out.write(`${json ? jsonText(task, 2) : taskPage(task, out)}\n`);
}

/** With its request, where the server shows that to the caller. */
async function whole(remote: Remote, id: string): Promise<Listed> {
  try {
    return (await ask(remote, `task/${id}?include=text`, "task_id")) as Listed;
  } catch (error) {
    // Of a viewer; of a server that does not know the parameter yet.
    if (!(error instanceof AltLasError) || !/^(forbidden|invalid_input)$/.test(error.code)) throw error;
    return (await ask(remote, `task/${id}`, "task_id")) as Listed;
  }
}

/**
 * Prints a task's text as it comes, then the rest; with `json` its events, one a line.
 * @returns the exit code: 0, or why it did not end well
 * @throws {AltLasError} as `ask`, and when the stream ends before the task
 */
export async function followTask({ remote, id: given, json, signal, out, err, pause }: TaskOptions): Promise<number> {
  const [id = ""] = await idsMeant(remote, [given]);
  const writer = json ? null : new TextWriter({ out, err });
  const notes = writer === null || err.columns === null ? null : new WaitNotes(remote, writer);
  try {
    notes?.start(id);
    const onLost = (): void => writer?.note("The connection was lost; it is made anew.");
    const events = lastingEvents(remote, id, { signal, onLost, ...(pause !== undefined && { pause }) });
    const onEvent = (event: ServerEvent): void => {
      notes?.stop();
      if (json) out.write(eventLine(event));
    };
    const task: TaskView = await readToEnd(events, { onEvent, writer });
    writer?.end(task);
    if (!json) err.write(`\n${taskPage(await withForm(remote, task), err, false)}\n`);
    return exitCodeOf(task);
  } catch (error) {
    writer?.end(null);
    if (signal.aborted) return INTERRUPTED;
    throw error;
  } finally {
    notes?.stop();
  }
}

/** With the form that its answer had to have, where that may have been cut; the text of the request has been seen by whoever sent it. */
async function withForm(remote: Remote, task: TaskView): Promise<Listed> {
  if (task.result?.finish_reason !== "length") return task;
  const { response_format: format } = (await whole(remote, task.task_id)).request ?? {};
  return format === undefined ? task : { ...task, request: { response_format: format } };
}
