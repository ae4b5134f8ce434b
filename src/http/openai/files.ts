/** `/v1/files`: lists files, shows them, streams what is in them, and removes them. */
import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import type { Caller } from "../../auth/credentials.ts";
import { shown } from "../../common/validation.ts";
import { AltLasError } from "../../errors.ts";
import { fileIdOf, hasTime, shownFileId, timeOfId } from "../../files/ids.ts";
import type { FileInfo, FileSource } from "../../files/source.ts";
import type { FilePlace } from "../../store/files.ts";
import { mayChange, ownersFor } from "../access.ts";
import { holdForAnswer } from "../answers.ts";
import { tellForeignRead, tellRemoval } from "../foreign-changes.ts";
import { NoQuery } from "../schemas/common.ts";
import { FileBytes, FileDeleted, FileParams, FileRef, FilesAnswer, FilesQuery, MOST_FILES } from "../schemas/files.ts";
import { whenDelivered } from "../reads.ts";
import type { ServerParts } from "../server-parts.ts";
import { ignoreTypeOfNothing } from "../validate.ts";
import { fileNamed, viewOfFile } from "./file-views.ts";
import { uploadRoute } from "./uploads.ts";
import { pageOf } from "./pages.ts";

interface FilePath {
  file_id: string;
}

const ABOUT_ONE = { tags: ["openai"], params: FileParams, querystring: NoQuery };

export function fileRoutes(app: FastifyInstance, parts: ServerParts): void {
  // In a scope of its own: nowhere else is a form taken.
  app.register(async (scope) => uploadRoute(scope, parts));
  listRoute(app, parts);
  fileRoute(app, parts);
  contentRoute(app, parts);
  deleteRoute(app, parts);
}

function listRoute(app: FastifyInstance, { files }: ServerParts): void {
  app.route<{ Querystring: FilesQuery }>({
    method: "GET",
    url: "/files",
    schema: {
      operationId: "listFiles",
      summary: "Files, newest first",
      description:
        "A `user` sees its own files, a `viewer` that has a team the team's, the others all. `last_id`, sent as `after`, continues the list.",
      tags: ["openai"],
      querystring: FilesQuery,
      response: { 200: FilesAnswer },
      refusals: ["store_unavailable"],
    },
    handler: async ({ caller, query }) => {
      const limit = Math.min(query.limit, MOST_FILES);
      const found = await files.list({
        ...ownersFor(caller),
        purpose: query.purpose?.toWellFormed(),
        order: query.order,
        after: query.after === undefined ? undefined : await placeOf(files, query.after),
        // One more says whether there are more.
        limit: limit + 1,
      });
      const data = found.slice(0, limit).map(viewOfFile);
      return pageOf(data, found.length > limit);
    },
  });
}

/** A file that was removed meanwhile still has its place: clients remove what they have listed, and ask for what comes after it. */
async function placeOf(files: FileSource, given: string): Promise<FilePlace> {
  const id = fileIdOf(given);
  const file = id === null ? null : await files.find(id);
  if (file !== null) return file;
  if (id !== null && hasTime(id)) return { id, createdAt: timeOfId(id) };
  throw new AltLasError("invalid_input", `after must be the id of a file; got ${shown(given)}.`, { param: "after" });
}

function fileRoute(app: FastifyInstance, { files }: ServerParts): void {
  app.route<{ Params: FilePath }>({
    method: "GET",
    url: "/files/:file_id",
    schema: {
      ...ABOUT_ONE,
      operationId: "getFile",
      summary: "One file",
      response: { 200: FileRef },
      refusals: ["store_unavailable"],
    },
    handler: async ({ caller, params }) => viewOfFile(await fileNamed(files, caller, params.file_id)),
  });
}

function contentRoute(app: FastifyInstance, { files }: ServerParts): void {
  app.route<{ Params: FilePath }>({
    method: "GET",
    url: "/files/:file_id/content",
    schema: {
      ...ABOUT_ONE,
      operationId: "getFileContent",
      summary: "The bytes of a file",
      description: "For its user and admins: a viewer does not see what others have asked.",
      response: { 200: { content: { [BYTES]: { schema: FileBytes } } } },
      refusals: ["store_unavailable", "forbidden"],
    },
    config: { isPatient: true },
    handler: async ({ caller, params, method }, reply) => {
      const file = await fileNamed(files, caller, params.file_id);
      refuseToShowContent(caller, file);
      if (method === "GET") tellForeignRead(reply.request, file, "export.file", shownFileId(file.id));
      holdForAnswer(reply, CONTENT_MEMORY);
      const { stream, bytes, delivered } = await files.open(file);
      if (delivered !== undefined) whenDelivered(reply, () => delivered(caller.name));
      // Never as what the client called it: a page of a stranger would run under this server's name.
      reply.type(BYTES).header("content-disposition", dispositionOf(file.filename));
      if (bytes !== null) reply.header("content-length", bytes);
      if (method !== "HEAD") return reply.send(stream);
      stream.destroy();
      return reply.send(Readable.from([]));
    },
  });
}

const BYTES = "application/octet-stream";
/** Bytes of memory that one download takes at most while its client does not read: a page of results, and what is made of it. */
const CONTENT_MEMORY = 2 ** 20;

/** The content of a file is what its user has asked, or asks. @throws {AltLasError} `forbidden` */
function refuseToShowContent({ name, role }: Caller, { user }: FileInfo): void {
  if (role === "admin" || user === name) return;
  const sentence = `The content of a file is for its user and for the role admin; ${name} has the role ${role}.`;
  throw new AltLasError("forbidden", sentence);
}

/** RFC 6266: the name as it is, and for old clients one of ASCII. */
function dispositionOf(filename: string): string {
  const plain = filename.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  const encoded = encodeURIComponent(filename).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

function deleteRoute(app: FastifyInstance, { files, log }: ServerParts): void {
  app.route<{ Params: FilePath }>({
    method: "DELETE",
    url: "/files/:file_id",
    schema: {
      ...ABOUT_ONE,
      operationId: "deleteFile",
      summary: "Remove a file",
      description: "One that a batch still needs is a 409.",
      response: { 200: FileDeleted },
      refusals: ["store_unavailable", "conflict"],
    },
    onRequest: [mayChange("Removing a file"), ignoreTypeOfNothing],
    handler: async ({ caller, params }, { request }) => {
      const file = await fileNamed(files, caller, params.file_id);
      await files.remove(file);
      const id = shownFileId(file.id);
      const what = "file removed by another user";
      tellRemoval(log, request, file, { action: "file.remove", target: id, about: { file: id }, what });
      return { id, object: "file", deleted: true };
    },
  });
}
