/** Batches: how far they are, what came of them, and ending them early. */
import { once } from "node:events";
import type { FastifyInstance, FastifyReply } from "fastify";
import { AT_ONCE, nextTurn } from "../common/turns.ts";
import { AltLasError } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { Batch } from "../task.ts";
import type { ListedSnapshot, TaskApi } from "../tasks/task-api.ts";
import { mayChange } from "./access.ts";
import { holdForAnswer } from "./answers.ts";
import { tellForeignChange, tellForeignRead } from "./foreign-changes.ts";
import { goneSignal } from "./disconnects.ts";
import { jsonLine } from "./json-line.ts";
import { beginLiveAnswer } from "./live-answer.ts";
import { batchNamed, type BatchPath } from "./lookup.ts";
import { forReader } from "./reader-language.ts";
import { addUnread, type ReadTask, tellRead } from "./reads.ts";
import type { ServerParts } from "./server-parts.ts";
import { TAKES_TICKETS } from "./stream-tickets.ts";
import { BatchCancelAnswer, BatchParams, BatchRef, ResultLines, ResultsQuery } from "./schemas/batches.ts";
import { EmptyRequest, NoQuery } from "./schemas/common.ts";
import { ignoreTypeOfNothing } from "./validate.ts";
import { viewOfBatch, viewOfTask } from "./views.ts";

/** The memory that counts for results while they are sent: some read ahead, as rows, as tasks and as text. */
const RESULTS_BYTES = 2 ** 20;

export function batchStateRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  const schema = {
    operationId: "getBatch",
    summary: "How far a batch is",
    tags: ["batches"],
    params: BatchParams,
    querystring: NoQuery,
    response: { 200: BatchRef },
  };
  app.get<{ Params: BatchPath }>("/batch/:batch_id", { schema }, async ({ caller, params }) =>
    viewOfBatch(await batchNamed(tasks, caller, params)),
  );
}

export function cancelBatchRoute(app: FastifyInstance, { tasks, log }: ServerParts): void {
  const schema = {
    operationId: "cancelBatch",
    summary: "Cancel all tasks of a batch that have not ended",
    description:
      "Answers with the batch as it is then. When all have ended already, it is a 409. The body may be left out.",
    tags: ["batches"],
    params: BatchParams,
    querystring: NoQuery,
    body: EmptyRequest,
    response: { 200: BatchCancelAnswer },
    refusals: ["conflict" as const],
  };
  const onRequest = [mayChange("Canceling a batch"), ignoreTypeOfNothing];
  app.post<{ Params: BatchPath }>(
    "/batch/:batch_id/cancel",
    { schema, config: { isPatient: true }, onRequest },
    async ({ caller, params }, { request }) => {
      const { batch } = await batchNamed(tasks, caller, params);
      const everything = { ids: undefined, user: undefined, status: undefined };
      const canceled = await tasks.cancelMatching({ ...everything, batchId: batch.id });
      const about = { batch: batch.id, canceled };
      const what = "batch canceled by another user";
      if (canceled > 0)
        tellForeignChange(log, request, batch, { action: "batch.cancel", target: batch.id, about, what });
      const after = await batchNamed(tasks, caller, params);
      if (canceled === 0 && (after.status === "completed" || after.status === "canceled")) {
        const sentence = `All tasks of the batch ${batch.id} have ended already.`;
        throw new AltLasError("conflict", sentence, { details: { status: after.status } });
      }
      return { ...viewOfBatch(after), canceled };
    },
  );
}

export function resultsRoute(app: FastifyInstance, { tasks, log }: ServerParts): void {
  app.route<{ Params: BatchPath; Querystring: ResultsQuery }>({
    method: "GET",
    url: "/batch/:batch_id/results",
    config: TAKES_TICKETS,
    schema: {
      operationId: "getBatchResults",
      summary: "The tasks of a batch that have ended, a line each, as they end",
      tags: ["batches"],
      params: BatchParams,
      querystring: ResultsQuery,
      response: { 200: { content: { "application/x-ndjson": { schema: ResultLines } } } },
    },
    handler: async ({ caller, params, query, method }, reply) => {
      const { batch } = await batchNamed(tasks, caller, params);
      if (method === "GET") tellForeignRead(reply.request, batch, "export.results", batch.id);
      const results = (gone: AbortSignal) => tasks.batchResults(batch.id, query.follow, gone);
      await sendResults(reply, batch, { results, tasks, log });
    },
  });
}

export interface SentResults {
  /** The tasks, until the signal aborts. */
  readonly results: (gone: AbortSignal) => AsyncIterable<ListedSnapshot>;
  /** Told of those whose texts go when they are read. */
  readonly tasks: Pick<TaskApi, "read">;
  readonly log: Logger;
}

/** Answers with tasks of a batch, a line each, as they come. */
export async function sendResults(
  reply: FastifyReply,
  { id, firstSeq }: Pick<Batch, "id" | "firstSeq">,
  { results, tasks, log }: SentResults,
): Promise<void> {
  holdForAnswer(reply, RESULTS_BYTES);
  const read: ReadTask[] = [];
  const gone = goneSignal(reply, () => answer.write("\n"));
  const answer = beginLiveAnswer(reply, "application/x-ndjson; charset=utf-8");
  if (reply.request.method === "HEAD") return void answer.end();
  try {
    let sent = 0;
    for await (const task of results(gone)) {
      if (sent++ % AT_ONCE === 0 && sent > 1) await nextTurn();
      const line = jsonLine({ index: task.seq - firstSeq, ...forReader(reply.request, viewOfTask(task)) });
      addUnread(task, read);
      if (!answer.write(`${line}\n`)) await once(answer, "drain", { signal: gone });
    }
    tellRead(tasks, reply, read);
    answer.end();
  } catch (error) {
    if (gone.aborted) return;
    log.error({ err: error, batch: id }, "the results of a batch could not be sent");
    // The status is out, so the client learns of it by an answer that breaks off.
    answer.destroy();
  }
}
