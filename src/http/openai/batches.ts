/** `/v1/batches`: the lines of a file as tasks. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Caller } from "../../auth/credentials.ts";
import type { BatchFileState, NewBatchFile } from "../../batch-files/batch-file-api.ts";
import { batchIdOf, shownBatchId } from "../../batch-files/ids.ts";
import { shown } from "../../common/validation.ts";
import { AltLasError } from "../../errors.ts";
import { maySee, mayChange, ownersFor, submission } from "../access.ts";
import { tellForeignChange } from "../foreign-changes.ts";
import { idempotencyOf } from "../idempotency.ts";
import {
  BatchFileBody,
  BatchFileParams,
  BatchFileRef,
  BatchFilesAnswer,
  BatchFilesQuery,
  WINDOW,
} from "../schemas/batch-files.ts";
import { EmptyRequest, NoQuery } from "../schemas/common.ts";
import type { ServerParts } from "../server-parts.ts";
import { ignoreTypeOfNothing } from "../validate.ts";
import { viewOfBatchFile } from "./batch-views.ts";
import { tellIgnored } from "./fields.ts";
import { fileNamed } from "./file-views.ts";
import { pageOf } from "./pages.ts";

interface BatchPath {
  batch_id: string;
}

const ABOUT_ONE = { tags: ["openai"], params: BatchFileParams, querystring: NoQuery };

export function batchFileRoutes(app: FastifyInstance, parts: ServerParts): void {
  createRoute(app, parts);
  listRoute(app, parts);
  batchRoute(app, parts);
  cancelRoute(app, parts);
}

function createRoute(app: FastifyInstance, parts: ServerParts): void {
  app.route<{ Body: BatchFileBody }>({
    method: "POST",
    url: "/batches",
    schema: {
      operationId: "createBatchOfFile",
      summary: "Make the lines of a file into tasks",
      description:
        "Each line becomes a task of its own, of low priority unless its body has another, as the queue has room for it; `GET /batch/<uuid>` shows them too. The lines are checked first: one that is no request at all fails the batch, with the numbers of the lines in `errors`; one whose body is refused fails alone.",
      tags: ["openai"],
      querystring: NoQuery,
      body: BatchFileBody,
      response: { 200: BatchFileRef },
      refusals: ["not_found", "conflict", "rate_limited", "store_unavailable", "draining"],
    },
    onRequest: submission(parts),
    preValidation: tellIgnored(BatchFileBody),
    handler: async (request, reply) => {
      const idempotency = idempotencyOf(request);
      const asked = () => askedIn(request, parts);
      const { replayed, ...state } = await parts.batchFiles.create(request.caller.name, asked, idempotency);
      if (replayed) reply.header("idempotent-replayed", "true");
      return viewOfBatchFile(state);
    },
  });
}

/** @throws {AltLasError} `not_found`: there is no such file; `invalid_input`: it is for something else, or the window is too long */
async function askedIn(
  { caller, body }: FastifyRequest<{ Body: BatchFileBody }>,
  { files }: ServerParts,
): Promise<NewBatchFile> {
  const input = await fileNamed(files, caller, body.input_file_id, "input_file_id");
  if (input.purpose !== "batch") throw notForBatches(input.purpose);
  const { metadata = null, output_expires_after: expiry } = body;
  return {
    user: caller.name,
    keyName: caller.keyName,
    team: caller.team,
    models: caller.models,
    input,
    endpoint: body.endpoint,
    window: { given: body.completion_window, milliseconds: windowOf(body.completion_window) },
    priority: body.priority,
    metadata,
    outputLifetime: expiry === undefined ? null : expiry.seconds * 1000,
  };
}

function notForBatches(purpose: string): AltLasError {
  const sentence = `input_file_id must be a file with the purpose "batch"; this one has ${shown(purpose)}.`;
  return new AltLasError("invalid_input", sentence, { param: "input_file_id" });
}

const MILLISECONDS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const LONGEST_WINDOW = 14 * MILLISECONDS.d;

/** @throws {AltLasError} `invalid_input`: it is too long */
function windowOf(given: string): number {
  const [, count, unit] = new RegExp(WINDOW).exec(given)!;
  const milliseconds = Number(count) * MILLISECONDS[unit as keyof typeof MILLISECONDS];
  if (milliseconds <= LONGEST_WINDOW) return milliseconds;
  const sentence = `completion_window must be two weeks at most; got ${shown(given)}.`;
  throw new AltLasError("invalid_input", sentence, { param: "completion_window" });
}

function listRoute(app: FastifyInstance, { batchFiles }: ServerParts): void {
  app.route<{ Querystring: BatchFilesQuery }>({
    method: "GET",
    url: "/batches",
    schema: {
      operationId: "listBatchesOfFiles",
      summary: "Batches of files, newest first",
      description:
        "A `user` sees its own, a `viewer` that has a team the team's, the others all. `last_id`, sent as `after`, continues the list.",
      tags: ["openai"],
      querystring: BatchFilesQuery,
      response: { 200: BatchFilesAnswer },
      refusals: ["store_unavailable"],
    },
    handler: async ({ caller, query: { after, limit } }) => {
      const from = after === undefined ? undefined : await placeOf(after);
      // One more says whether there are more.
      const found = await batchFiles.list({ ...ownersFor(caller), after: from, limit: limit + 1 });
      const data = found.slice(0, limit).map(viewOfBatchFile);
      return pageOf(data, found.length > limit);
    },
  });
}

/** @throws {AltLasError} `invalid_input` */
async function placeOf(given: string): Promise<string> {
  const id = batchIdOf(given);
  if (id !== null) return id;
  throw new AltLasError("invalid_input", `after must be the id of a batch; got ${shown(given)}.`, { param: "after" });
}

function batchRoute(app: FastifyInstance, { batchFiles }: ServerParts): void {
  app.route<{ Params: BatchPath }>({
    method: "GET",
    url: "/batches/:batch_id",
    schema: {
      ...ABOUT_ONE,
      operationId: "getBatchOfFile",
      summary: "One batch of a file",
      response: { 200: BatchFileRef },
      refusals: ["store_unavailable"],
    },
    handler: async ({ caller, params }) => viewOfBatchFile(await stateNamed(batchFiles, caller, params)),
  });
}

function cancelRoute(app: FastifyInstance, { batchFiles, log }: ServerParts): void {
  app.route<{ Params: BatchPath }>({
    method: "POST",
    url: "/batches/:batch_id/cancel",
    schema: {
      ...ABOUT_ONE,
      operationId: "cancelBatchOfFile",
      summary: "Cancel a batch of a file",
      description: "No more lines become tasks, and those that are tasks are canceled; what has ended stays.",
      body: EmptyRequest,
      response: { 200: BatchFileRef },
      refusals: ["store_unavailable", "conflict"],
    },
    config: { isPatient: true },
    onRequest: [mayChange("Canceling a batch"), ignoreTypeOfNothing],
    handler: async ({ caller, params }, { request }) => {
      const { file } = await stateNamed(batchFiles, caller, params);
      const canceled = await batchFiles.cancel(file.id);
      const what = "batch canceled by another user";
      tellForeignChange(log, request, file, {
        action: "batch.cancel",
        target: file.id,
        about: { batch: file.id },
        what,
      });
      return viewOfBatchFile(canceled);
    },
  });
}

/** A stranger's batch looks like none. @throws {AltLasError} `not_found` */
async function stateNamed(
  batchFiles: ServerParts["batchFiles"],
  caller: Caller,
  { batch_id: given }: BatchPath,
): Promise<BatchFileState> {
  const id = batchIdOf(given);
  const state = id === null ? null : await batchFiles.find(id);
  if (state !== null && maySee(caller, state.file)) return state;
  const sentence =
    id === null
      ? `There is no batch ${shown(given)}; an id of one is batch_ and 32 hexadecimal digits.`
      : `There is no batch ${shownBatchId(id)}, or it belongs to somebody else.`;
  throw new AltLasError("not_found", sentence);
}
