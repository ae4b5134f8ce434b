/** Tasks and their requests, for tests that make tasks themselves. */
import { factsOf, type TaskRequest } from "../../src/request.ts";
import { type Task } from "../../src/task.ts";

/** How a test wants a task to be; the rest is usual. */
export type TaskChanges = Partial<Task> & Partial<TaskRequest>;

export function changed(task: Task, { text, ...changes }: TaskChanges): Task {
  const request = text === undefined ? {} : { request: { text }, ...factsOf({ text: text }) };
  return { ...task, ...request, ...changes };
}

/** A task and its request, as a worker is given them. */
export function given(task: Task): [Task, TaskRequest] {
  return [task, task.request!];
}

export function textOf({ request }: Pick<Task, "request">): string {
  return request?.text ?? "";
}
