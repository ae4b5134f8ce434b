/** Log lines of a start about the tasks that an earlier run has left. */
import type { Logger } from "../log/log.ts";
import type { Opened } from "../store/store.ts";

export function tellTakenOver({ live }: Pick<Opened, "live">, log: Pick<Logger, "info">): void {
  const left = live.filter(({ endsWithClient }) => endsWithClient).length;
  if (left > 0) log.info({ tasks: left }, "canceled unfinished tasks whose clients had left when the server stopped");
  if (live.length > left) log.info({ tasks: live.length - left }, "took over unfinished tasks");
}
