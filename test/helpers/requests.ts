/** Tasks and their requests, for tests that make tasks themselves. */
import { completionOf, factsOf, type Request, type Sampling } from "../../src/request.ts";
import { type Task } from "../../src/task.ts";

/** How a test wants a task to be; the rest is usual. */
export type TaskChanges = Partial<Task> & Partial<Sampling> & { readonly text?: string };

export function changed(task: Task, { text, maxTokens, temperature, ...changes }: TaskChanges): Task {
  return { ...task, ...withRequest(task, text, { maxTokens, temperature }), ...changes };
}

function withRequest(
  task: Task,
  text: string | undefined,
  { maxTokens, temperature }: { readonly [Field in keyof Sampling]: Sampling[Field] | undefined },
): Partial<Task> {
  if (text === undefined && maxTokens === undefined && temperature === undefined) return {};
  const { sampling } = task;
  const request = completionOf(text ?? textOf(task), {
    maxTokens: maxTokens ?? sampling.maxTokens,
    temperature: temperature ?? sampling.temperature,
  });
  return { request, sampling: request.sampling, ...factsOf(request) };
}

/** A task and its request, as a worker is given them. */
export function given(task: Task): [Task, Request] {
  return [task, task.request!];
}

/** @throws {Error} it is no text to continue */
export function continuedText(request: Request): string {
  if (request.kind !== "completion") throw new Error(`a ${request.kind} is no text to continue`);
  return request.text;
}

export function textOf({ request }: Pick<Task, "request">): string {
  return request == null ? "" : continuedText(request);
}
