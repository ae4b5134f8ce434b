/** Headers that all requests carry which an engine sends for one task, wherever in its code it sends them. */
import { AsyncLocalStorage } from "node:async_hooks";

const headers = new AsyncLocalStorage<Readonly<Record<string, string>>>();

/** Does the work of a task, whose requests have these headers. @param given absent: they have none, and nothing is paid for it */
export function withHeaders<Result>(given: Readonly<Record<string, string>> | undefined, work: () => Result): Result {
  return given === undefined ? work() : headers.run(given, work);
}

/** Those of the task for which this is called; undefined: it has none, or there is no task. */
export function taskHeaders(): Readonly<Record<string, string>> | undefined {
  return headers.getStore();
}
