/** Reads an upload: a form (multipart/form-data, RFC 7578) with one file, which is handed on while it comes, and short fields. */
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { BusboyHeaders, BusboyInstance } from "@fastify/busboy";
import { AltLasError, messageOf } from "../../errors.ts";
import { shown } from "../../common/validation.ts";

/** Bytes of a field, and how many fields and parts there may be: ours are a few words. */
const LIMITS = { fieldSize: 4096, fields: 32, parts: 40, headerPairs: 32, headerSize: 16_384 } as const;
const FILE = "file";

/** The parts of a form beside its file. */
export interface UploadForm {
  /** As the client says; it may be any text. */
  readonly filename: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** @param fields those that came before it */
type TakeFile = (content: Readable, fields: ReadonlyMap<string, string>) => Promise<void>;

/**
 * @param signal aborted when it is to be given up
 * @param take reads all of the file; it has ended when this settles
 * @throws {AltLasError} `invalid_input`: it is no such form, or has not one file; the reason of `signal`; what `take` throws
 */
export async function readUploadForm(
  request: IncomingMessage,
  signal: AbortSignal,
  take: TakeFile,
): Promise<UploadForm> {
  // Loaded with the first upload: most servers never have one.
  const { Busboy } = await import("@fastify/busboy");
  const reader = await new Promise<BusboyInstance>((resolve) => {
    const headers = request.headers as BusboyHeaders;
    resolve(
      new Busboy({
        headers,
        limits: LIMITS,
        isPartAFile: (name, _type, filename) => name === FILE || filename !== undefined,
      }),
    );
  }).catch((error: unknown) => {
    throw unreadable(messageOf(error));
  });
  // Listeners that are added from now on would not hear of it.
  signal.throwIfAborted();
  const reading = new FormReading(request, reader, take);
  const giveUp = (): void => reading.fail(signal.reason as Error);
  signal.addEventListener("abort", giveUp);
  try {
    return await reading.end();
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

class FormReading {
  readonly #request: IncomingMessage;
  readonly #reader: BusboyInstance;
  readonly #take: TakeFile;
  readonly #fields = new Map<string, string>();
  readonly #end = Promise.withResolvers<UploadForm>();
  /** The file, and the end of its reading; null: it has not come yet. */
  #file: { readonly filename: string; readonly content: Readable; readonly taken: Promise<void> } | null = null;

  constructor(request: IncomingMessage, reader: BusboyInstance, take: TakeFile) {
    this.#request = request;
    this.#reader = reader;
    this.#take = take;
  }

  async end(): Promise<UploadForm> {
    const request = this.#request;
    // It also closes when all of it has been read, while the file is still being written.
    const onClose = (): void => void (request.complete || this.fail(cutOff()));
    request.once("error", onClose).once("close", onClose);
    this.#reader
      .on("file", (name, content, filename) => this.#onFile(name, content, filename))
      .on("field", (name, value, _cut, isCut) => this.#onField(name, value, isCut))
      .on("partsLimit", () => this.fail(tooManyParts()))
      .on("fieldsLimit", () => this.fail(tooManyParts()))
      .on("error", (error) => this.fail(unreadable(messageOf(error))))
      .on("finish", () => this.#onFinish());
    try {
      request.pipe(this.#reader);
      return await this.#end.promise;
    } finally {
      request.off("close", onClose).unpipe(this.#reader);
      // Data that still comes is dropped; the refusal reaches its client all the same (linger.ts).
      request.on("error", () => {}).resume();
      this.#file?.content.destroy();
      await this.#file?.taken.catch(() => undefined);
    }
  }

  #onFile(name: string, content: Readable, filename: string | undefined): void {
    // Else a form that is cut off in the middle of it would end the process.
    content.on("error", (error) => this.fail(unreadable(messageOf(error))));
    const wrong = this.#wrongFile(name);
    if (wrong !== null) {
      content.resume();
      return this.fail(wrong);
    }
    const taken = this.#take(content, this.#fields);
    this.#file = { filename: filename ?? "", content, taken };
    taken.catch((error: Error) => {
      content.resume();
      this.fail(error);
    });
  }

  #wrongFile(name: string | undefined): AltLasError | null {
    if (name !== FILE) return refused(`The form has a file in ${shown(name ?? "")}; it belongs into file.`);
    return this.#file === null ? null : refused("The form has two files; an upload has one.");
  }

  #onField(name: string | undefined, value: string, isCut: boolean): void {
    if (name === undefined) return;
    if (isCut) return this.fail(refused(`${shown(name)} must be at most ${LIMITS.fieldSize} bytes.`, name));
    if (this.#fields.has(name)) return this.fail(refused(`${shown(name)} is in the form twice.`, name));
    this.#fields.set(name, value);
  }

  #onFinish(): void {
    const file = this.#file;
    if (file === null) return this.fail(refused("file is missing; the form must have a part with that name.", FILE));
    const form = { filename: file.filename, fields: this.#fields };
    void file.taken.then(() => this.#end.resolve(form)).catch(() => undefined);
  }

  fail(error: Error): void {
    this.#end.reject(error);
  }
}

function unreadable(why: string): AltLasError {
  return refused(`The body is no whole form (multipart/form-data): ${why}.`);
}

function cutOff(): AltLasError {
  return refused("The connection broke off within the form.");
}

function tooManyParts(): AltLasError {
  return refused(`The form has too many parts: ${LIMITS.fields} fields may be in one.`);
}

function refused(sentence: string, param?: string): AltLasError {
  return new AltLasError("invalid_input", sentence, { ...(param !== undefined && { param }) });
}
