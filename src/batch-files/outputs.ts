/** The output and error files of batches: nobody writes them, each is made of the tasks when it is read, while its batch runs too. */
import { shownBatchId } from "./ids.ts";
import { Readable } from "node:stream";
import type { Clock } from "../common/clock.ts";
import { Mutex } from "../common/mutex.ts";
import { AltLasError } from "../errors.ts";
import { timeOfId } from "../files/ids.ts";
import type { FileContent, FileInfo, FileSource } from "../files/source.ts";
import type { BatchFile } from "../store/batch-files.ts";
import type { FileFilter } from "../store/files.ts";
import type { Store } from "../store/store.ts";
import type { ListedSnapshot, TaskApi } from "../tasks/task-api.ts";
import type { LineEndpoints } from "./endpoints.ts";
import { type ResultKind, resultLines } from "./results.ts";

/** As OpenAI has it. */
const PURPOSE = "batch_output";

export interface OutputsParts {
  readonly store: Pick<Store, "save" | "tasks" | "batchFiles">;
  readonly tasks: Pick<TaskApi, "notes" | "requestOf" | "read">;
  readonly endpoints: LineEndpoints;
  readonly clock: Clock;
}

export class Outputs implements FileSource {
  readonly #parts: OutputsParts;
  readonly #changes = new Mutex();

  constructor(parts: OutputsParts) {
    this.#parts = parts;
  }

  async find(id: string): Promise<FileInfo | null> {
    const file = await this.#parts.store.batchFiles.ofOutput(id);
    return file === null || !this.#isThere(file) ? null : this.#shown(id, file);
  }

  async list({ user, team, purpose, order, after, limit }: FileFilter): Promise<readonly FileInfo[]> {
    if (purpose !== undefined && purpose !== PURPOSE) return [];
    const shown: FileInfo[] = [];
    let last = after?.id;
    // Those that are not there any more leave room for others.
    while (shown.length < limit) {
      const outputs = await this.#parts.store.batchFiles.outputs({ user, team, order, after: last, limit });
      for (const { id, file } of outputs) if (this.#isThere(file)) shown.push(this.#shown(id, file));
      last = outputs.at(-1)?.id;
      if (outputs.length < limit) break;
    }
    return shown.slice(0, limit);
  }

  /** @param from is cut off what is made: nobody reads a part of one yet */
  async open({ id }: FileInfo, from = 0): Promise<FileContent> {
    const { store, tasks, endpoints } = this.#parts;
    const file = await store.batchFiles.ofOutput(id);
    const state = file && (await store.tasks.batch(file.id));
    if (file === null || state === null) throw gone();
    const { batchFiles } = store;
    const parts = { store: store.tasks, batchFiles, tasks, endpoints };
    const read: Pick<ListedSnapshot, "seq" | "texts">[] = [];
    const told = (task: ListedSnapshot): void => {
      if (task.texts !== "keep") read.push({ seq: task.seq, texts: task.texts });
    };
    const lines = resultLines({ ...parts, told }, file, state.batch, kindOf(id, file));
    const delivered = (reader: string): void => {
      if (reader === file.user && from === 0) tasks.read(read);
    };
    return { stream: Readable.from(bytesOf(lines, from), { objectMode: false }), bytes: null, delivered };
  }

  async remove({ id }: FileInfo): Promise<void> {
    const file = await this.#parts.store.batchFiles.ofOutput(id);
    if (file === null) throw gone();
    if (file.endedAt === null) throw new AltLasError("conflict", "The batch that this file belongs to has not ended.");
    await this.#changes.run(file.id, async () => {
      const present = await this.#parts.store.batchFiles.ofOutput(id);
      if (present === null) throw gone();
      const without = kindOf(id, present) === "output" ? { outputFile: null } : { errorFile: null };
      await this.#parts.store.save([], [{ kind: "batch_file", file: { ...present, ...without } }]);
    });
  }

  /** It has begun, and its output is not too old. */
  #isThere({ startedAt, endedAt, outputLifetime }: BatchFile): boolean {
    const isOver = endedAt !== null && outputLifetime !== null && endedAt + outputLifetime <= this.#parts.clock.now();
    return startedAt !== null && !isOver;
  }

  #shown(id: string, file: BatchFile): FileInfo {
    const { user, team, endedAt, outputLifetime } = file;
    const keptUntil = endedAt === null || outputLifetime === null ? null : endedAt + outputLifetime;
    return {
      id,
      user,
      team,
      purpose: PURPOSE,
      filename: `${shownBatchId(file.id)}_${kindOf(id, file)}.jsonl`,
      // Nobody has counted them.
      bytes: 0,
      createdAt: timeOfId(id),
      expiresAt: keptUntil === null ? null : keptUntil + this.#parts.clock.ahead,
    };
  }
}

function kindOf(id: string, { outputFile }: BatchFile): ResultKind {
  return id === outputFile ? "output" : "errors";
}

async function* bytesOf(lines: AsyncIterable<string>, from: number): AsyncGenerator<Buffer> {
  let skip = from;
  for await (const line of lines) {
    const bytes = Buffer.from(line);
    if (skip < bytes.length) yield skip > 0 ? bytes.subarray(skip) : bytes;
    skip = Math.max(0, skip - bytes.length);
  }
}

function gone(): AltLasError {
  return new AltLasError("not_found", "There is no such file any more.");
}
