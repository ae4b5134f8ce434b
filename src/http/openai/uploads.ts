/** `POST /v1/files`: takes a file as a stream, which no part of the server ever has in memory. */
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { checkFor } from "../../common/ajv.ts";
import { misfitOf } from "../../common/validation.ts";
import { AltLasError } from "../../errors.ts";
import type { FileFacts } from "../../files/files.ts";
import type { Upload } from "../../files/upload.ts";
import { fileTooLarge } from "../../files/upload.ts";
import { mayChange, type Owned } from "../access.ts";
import { inviteBody } from "../bodies.ts";
import type { RequestMemory } from "../request-memory.ts";
import { NoQuery } from "../schemas/common.ts";
import { FileRef, UploadFields, UploadForm } from "../schemas/files.ts";
import type { ServerParts } from "../server-parts.ts";
import { watchSlowBody } from "../slow-bodies.ts";
import { tellIgnoredNames } from "./fields.ts";
import { viewOfFile } from "./file-views.ts";
import { readUploadForm } from "./upload-form.ts";

const FORM = "multipart/form-data";
/** Bytes of a form beside its file, at most. */
const BESIDE = 64 * 1024;
/** Bytes of memory that an upload takes: what has come and is not written yet. */
const MEMORY = 256 * 1024;
/** Characters of a name that are kept. */
const LONGEST_NAME = 255;

export function uploadRoute(app: FastifyInstance, parts: ServerParts): void {
  app.addContentTypeParser(FORM, (_request, payload, done) => done(null, payload));
  app.route<{ Body: IncomingMessage }>({
    method: "POST",
    url: "/files",
    schema: {
      operationId: "uploadFile",
      summary: "Upload a file, as OpenAI's API does it",
      description:
        "A form (multipart/form-data) with the parts `file` and `purpose`, and `expires_after[anchor]` and `expires_after[seconds]` if it is to be kept for another time than tasks are. The same bytes for the same purpose under the same name are the same file.",
      tags: ["openai"],
      consumes: [FORM],
      querystring: NoQuery,
      body: UploadForm,
      response: { 200: FileRef },
      refusals: ["unsupported", "store_unavailable", "draining", "files_full", "request_timeout"],
    },
    // The fields are checked when they have come; until then the body is a stream.
    validatorCompiler: (route) => (route.httpPart === "body" ? () => true : app.validatorCompiler!(route)),
    config: { isPatient: true },
    onRequest: [
      mayChange("Uploading a file"),
      (request, _reply, done) => {
        refuseEarly(parts, request);
        done();
      },
    ],
    handler: async (request, reply) => {
      const owner = ownerOf(request);
      const given = new AbortController();
      const giveUp = (why: AltLasError): void => given.abort(why);
      using held = new DisposableStack();
      held.use(memoryFor(app.memory, owner.user, giveUp));
      held.use(watchSlowBody(request.raw, giveUp));
      inviteBody(request);
      const file = await parts.uploads.receive(owner, given, (upload) => factsOf(request, reply, upload, given.signal));
      return viewOfFile(file);
    },
  });
}

function ownerOf({ caller: { name, team } }: FastifyRequest): Owned {
  return { user: name, team };
}

/** Refuses an upload for what its headers say, before any of it is sent. @throws {AltLasError} */
function refuseEarly({ draining, config, live, uploads }: ServerParts, { headers, caller }: FastifyRequest): void {
  if (draining())
    throw new AltLasError("draining", "The server is stopping and takes no new files.", {
      retryAfter: config.server.drain_timeout,
    });
  if (!headers["content-type"]?.toLowerCase().startsWith(FORM))
    throw new AltLasError("unsupported_media_type", `The Content-Type header must be ${FORM}, with a boundary.`);
  const { max_file_bytes: most } = live.config.limits;
  const announced = Number(headers["content-length"] ?? 0);
  if (announced > most + BESIDE) throw fileTooLarge(most);
  uploads.refuseIfFull(caller.name, Math.max(0, announced - BESIDE));
}

/** Takes the memory of one upload. @param evict called when it has to give way to others @throws {AltLasError} as `Holding.take` */
function memoryFor(memory: RequestMemory, user: string, evict: (error: AltLasError) => void): Disposable {
  const holding = memory.hold(user, evict);
  holding.take(MEMORY);
  return { [Symbol.dispose]: () => holding.release() };
}

/** Writes the file of a form. @returns what the form says of it */
async function factsOf(
  { raw }: FastifyRequest,
  reply: FastifyReply,
  upload: Pick<Upload, "write">,
  signal: AbortSignal,
): Promise<FileFacts> {
  const { filename, fields } = await readUploadForm(raw, signal, async (content: Readable, before) => {
    // Fields that have come already may be wrong, and the file large.
    if (before.has("purpose")) fieldsOf(before);
    for await (const chunk of content) await upload.write(chunk as Buffer);
  });
  const { purpose, expires_after } = fieldsOf(fields);
  tellIgnoredNames(
    reply,
    [...fields.keys()].filter((name) => !KNOWN.has(name)),
  );
  return {
    purpose,
    filename: nameOf(filename),
    lifetime: expires_after === undefined ? null : expires_after.seconds * 1000,
  };
}

const checkFields = checkFor(UploadFields);
const ANCHOR = "expires_after[anchor]";
const SECONDS = "expires_after[seconds]";
const KNOWN: ReadonlySet<string> = new Set(["purpose", ANCHOR, SECONDS]);

/** @throws {AltLasError} `invalid_input` */
function fieldsOf(form: ReadonlyMap<string, string>): UploadFields {
  const [purpose, anchor, seconds] = ["purpose", ANCHOR, SECONDS].map((name) => form.get(name));
  const expires = {
    ...(anchor !== undefined && { anchor }),
    // A form has nothing but text.
    ...(seconds !== undefined && { seconds: /^\d{1,15}$/.test(seconds) ? Number(seconds) : seconds }),
  };
  const fields: unknown = {
    ...(purpose !== undefined && { purpose }),
    ...(Object.keys(expires).length > 0 && { expires_after: expires }),
  };
  if (checkFields(fields)) return fields as UploadFields;
  const { sentence, field } = misfitOf(checkFields, "the form");
  throw new AltLasError("invalid_input", sentence, { ...(field !== null && { param: field }) });
}

/** A name without folders, and without what would move a cursor or break a line: it is shown, and it names no file of this machine. */
function nameOf(given: string): string {
  const last = given.toWellFormed().split(/[\\/]/).at(-1) ?? "";
  const clear = last.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "").trim();
  const cut = [...clear].slice(0, LONGEST_NAME).join("");
  return cut === "" || cut === "." || cut === ".." ? "file" : cut;
}
