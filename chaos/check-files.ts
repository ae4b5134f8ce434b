/** Whether batch files came to their end as they were asked for. */
import { setTimeout as sleep } from "node:timers/promises";
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { type Api, type User } from "./api.ts";
import { checkLines, type FileBatchView, linesOf, parsed, readLines } from "./file-lines.ts";
import { type BatchFile, type Submission } from "./ledger.ts";
import { type LoadParts } from "./load.ts";
import { plainId } from "./response-stream.ts";

/** Milliseconds in which the batches have to end when the server is left in peace, and between two looks at one. */
const PATIENCE = 120_000;
const OFTEN = 100;

const ENDED: ReadonlySet<string> = new Set(["completed", "failed", "expired", "cancelled"]);

/** Resolves when all batch files have ended; what does not end is a broken promise. */
export async function settleFiles({ api, ledger, report }: LoadParts): Promise<void> {
  const tooLate = performance.now() + PATIENCE;
  for (const { id, user } of ledger.files) {
    for (;;) {
      const view = await viewOf(api, user, id);
      if (ENDED.has(view.status)) break;
      if (!report.check("ended", performance.now() < tooLate, `batch ${id} does not end`, view)) break;
      await sleep(OFTEN);
    }
  }
}

/** Tells the ledger of the tasks that lines have become, which nobody was told of. */
export async function foundTasks({ api, ledger, world }: LoadParts): Promise<void> {
  for (const file of ledger.files) {
    const flow = (await api.open(world.admin, "GET", `/batch/${plainId(file.id)}/results`))!;
    const text = (await api.readText(flow, `the results of batch ${file.id}`)) ?? "";
    for (const { index, task_id } of parsed<TaskView & { index: number }>(text)) {
      if (ledger.tasks.has(task_id)) continue;
      const task = ledger.found(task_id, submissionOf(file), file.lines[index]!.item, null);
      task.cancelAsked = file.cancelAsked;
    }
  }
}

/** When all has ended. @param stepped the wall clock was set, so a batch may have expired */
export async function checkFiles(parts: LoadParts & { readonly stepped: boolean }): Promise<void> {
  const { api, ledger, report, stepped } = parts;
  for (const file of ledger.files) {
    const { id, user, fileId, text, cancelAsked } = file;
    const view = await viewOf(api, user, id);
    const isEnd =
      view.status === "completed" ||
      (view.status === "cancelled" && cancelAsked) ||
      (view.status === "expired" && stepped);
    report.check("lines", isEnd, `batch ${id} is ${view.status}`, view);
    const lines = (await readLines({ api, report, user }, view))!;
    await checkLines({ api, report, user }, file, lines, linesOf(file, view));
    const { total, completed, failed } = view.request_counts;
    // A canceled line is an error, and has not failed.
    const wrong = lines.errors.filter(({ error }) => error?.code !== "batch_cancelled").length;
    const isCounted = total === linesOf(file, view) && completed === lines.output.length && failed === wrong;
    report.check("lines", isCounted, `batch ${id} counts otherwise than its files`, { view, lines });
    const content = await api.open(user, "GET", `/v1/files/${fileId}/content`);
    report.check("files", (await content!.response.text()) === text, `file ${fileId} is not what was sent`);
  }
}

async function viewOf(api: Api, user: User, id: string): Promise<FileBatchView> {
  const answer = await api.ask(user, "GET", `/v1/batches/${id}`);
  if (answer?.status !== 200) throw new Error(`batch ${id} is gone: ${JSON.stringify(answer?.body)}`);
  return answer.body as FileBatchView;
}

/** As if its lines had been submitted. */
function submissionOf({ tag, user, lines, text }: BatchFile): Submission {
  return {
    tag,
    user,
    items: lines.map(({ item }) => item),
    isBatch: true,
    isWhole: false,
    pinnedGpuId: null,
    key: null,
    hasWebhook: false,
    path: "/v1/batches",
    body: { text },
    tasks: null,
    batchId: null,
    unanswered: false,
    refused: false,
  };
}
