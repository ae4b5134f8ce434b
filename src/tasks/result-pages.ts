/** The results of a batch that are stored, page by page. */
import type { ListedTask, TaskStore } from "../store/tasks.ts";

/** Results that are read from the store at once. */
const PAGE = 500;
/** Characters of results in one page, which bounds what a slow reader costs; one result may be longer. */
const PAGE_CHARACTERS = 256 * 1024;

export type ResultStore = Pick<TaskStore, "batch" | "endsOf" | "endsIn">;

/**
 * The ended tasks that are stored. Those of a file come in the order of its lines: for fifty thousand, the order of the ends would have
 * to be found anew for each page.
 */
export async function* resultPages(
  store: ResultStore,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<readonly ListedTask[]> {
  const state = await store.batch(id);
  const lines = state === null || state.batch.lines === null ? null : state.batch;
  let from = lines?.firstSeq ?? 0;
  for (let read = 0; !signal.aborted;) {
    const page =
      lines === null
        ? await store.endsOf(id, read, PAGE, PAGE_CHARACTERS)
        : await store.endsIn(from, lines.firstSeq + lines.size - 1, PAGE, PAGE_CHARACTERS);
    if (page.length === 0) return;
    yield page;
    read += page.length;
    from = page.at(-1)!.seq + 1;
  }
}
