/* The ports on the caller's side: each asks the storage thread, and turns its rows into the types of the rest of the server. */
import { mapInTurns } from "../../common/turns.ts";
import type { Request } from "../../request.ts";
import type { Task } from "../../task.ts";
import type { AuditEntry, AuditFilter, AuditStore } from "../audit.ts";
import type { BatchFile, BatchFileFilter, BatchFileStore, OutputFilter, RefusedLine } from "../batch-files.ts";
import type { FileFilter, FileIdentity, FileLimits, FileStore, FileTotal, StoredFile } from "../files.ts";
import type { IdempotencyRecord, IdempotencyStore } from "../idempotency.ts";
import type { Delivery, Outbox, OutboxRecord, WebhookEndpoint, WebhookSecret } from "../outbox.ts";
import {
  type BatchState,
  type ListedPage,
  type ListedTask,
  type OwnLimit,
  type PastTask,
  type Reading,
  type TaskFilter,
  type TaskStore,
  WHOLE,
  type StoredBytes,
} from "../tasks.ts";
import type { UsageFilter, UsageRow, UsageStore } from "../usage.ts";
import { auditOf } from "./audit-rows.ts";
import { batchFileOf, outputIdOf, refusedLineOf } from "./batch-file-rows.ts";
import { fileOf } from "./file-rows.ts";
import { pastTaskOf } from "./history-rows.ts";
import { needsScan } from "./scans.ts";
import type { Exchange, Kind } from "./messages.ts";
import { deliveryOf } from "./records.ts";
import { charactersOfRow, listedTaskOf, requestOf, taskOf } from "./rows.ts";
import type { Answer } from "./storage-thread.ts";
import type { StoredStatuses } from "./stored-statuses.ts";
import { usageOfRow } from "./usage-rows.ts";

/** Asks the storage thread. @throws {AltLasError} `store_unavailable` */
type Ask = <K extends Kind>(kind: K, request: Exchange[K]["request"]) => Promise<Answer<K>>;

export class StoredTasks implements TaskStore {
  readonly #ask: Ask;
  readonly #stored: Pick<StoredStatuses, "set">;
  /** The scan before the next one: two at a time would make a write wait for two windows. */
  #scans: Promise<unknown> = Promise.resolve();

  constructor(ask: Ask, stored: Pick<StoredStatuses, "set">) {
    this.#ask = ask;
    this.#stored = stored;
  }

  async get(id: string): Promise<Task | null> {
    const [row] = (await this.#ask("get", { id })).rows;
    if (row === undefined) return null;
    const task = taskOf(row);
    this.#stored.set(task, task.status);
    return task;
  }

  async request(seq: number): Promise<Request | null> {
    const { value } = await this.#ask("request", { seq });
    return value === null ? null : requestOf(value);
  }

  async notes(seqs: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const { rows } = await this.#ask("notes", { seqs });
    return new Map(rows.map(([seq, note]) => [seq as number, note as string]));
  }

  async list(filter: TaskFilter, reading: Reading = WHOLE): Promise<ListedPage> {
    if (needsScan(filter)) return this.#scanInTurn(filter, reading);
    const { rows, value } = await this.#ask("list", { filter, reading });
    const { more } = value;
    const total = reading.counted ? value.total : 0;
    return { tasks: await mapInTurns(rows, listedTaskOf), total, ...(more && { more }) };
  }

  async batch(id: string): Promise<BatchState | null> {
    return (await this.#ask("batch", { id })).value;
  }

  async endsOf(
    batchId: string,
    offset: number,
    limit: number,
    maxCharacters = WHOLE.maxCharacters,
  ): Promise<ListedTask[]> {
    return mapInTurns((await this.#ask("ends", { batchId, offset, limit, maxCharacters })).rows, listedTaskOf);
  }

  async endsIn(from: number, to: number, limit: number, maxCharacters = WHOLE.maxCharacters): Promise<ListedTask[]> {
    return mapInTurns((await this.#ask("endsIn", { from, to, limit, maxCharacters })).rows, listedTaskOf);
  }

  async history(after: number, limit: number): Promise<PastTask[]> {
    return mapInTurns((await this.#ask("history", { after, limit })).rows, pastTaskOf);
  }

  async remove(id: string): Promise<boolean> {
    return (await this.#ask("remove", { id })).value;
  }

  async storedBytes(): Promise<StoredBytes[]> {
    return (await this.#ask("storedBytes", {})).value;
  }

  async removeTexts(seqs: readonly number[]): Promise<boolean> {
    return (await this.#ask("removeTexts", { seqs })).value;
  }

  async countEnded(endedBefore: number, ofUsers?: readonly OwnLimit[]): Promise<number> {
    return (await this.#ask("countEnded", { limits: { endedBefore, ofUsers } })).value;
  }

  #scanInTurn(filter: TaskFilter, reading: Reading): Promise<ListedPage> {
    const scan = this.#scans.then(() => this.#scan(filter, reading));
    this.#scans = scan.catch(() => undefined);
    return scan;
  }

  /** Writes go between two windows. Tasks newer than the first window are left out. */
  async #scan(filter: TaskFilter, { maxCharacters, counted }: Reading): Promise<ListedPage> {
    const tasks: ListedTask[] = [];
    let { limit, offset } = filter;
    let total = 0;
    let characters = 0;
    let more = false;
    // A later page begins where the one before ended. Only a count has to scan everything.
    let below: number | null = counted ? Number.MAX_SAFE_INTEGER : (filter.after ?? Number.MAX_SAFE_INTEGER);
    while (below !== null) {
      const { rows, value }: Answer<"scan"> = await this.#ask("scan", {
        filter: { ...filter, limit, offset },
        below,
        maxCharacters: maxCharacters - characters,
      });
      more ||= value.more;
      for (const row of rows) {
        tasks.push(listedTaskOf(row));
        characters += charactersOfRow(row);
      }
      total += value.matched;
      // The rest begins the next part of the list.
      if (characters >= maxCharacters && limit > rows.length) more = true;
      limit = more ? 0 : limit - rows.length;
      if (!counted && limit === 0) break;
      offset -= value.passed;
      below = value.next;
    }
    return { tasks, total: counted ? total : 0, ...(more && { more }) };
  }
}

export class StoredOutbox implements Outbox {
  readonly write: Outbox["write"];
  readonly #ask: Ask;

  /** @param write as `Store.save`, of these records alone */
  constructor(ask: Ask, write: (records: readonly OutboxRecord[]) => Promise<void>) {
    this.#ask = ask;
    this.write = write;
  }

  async pendingDeliveries(limit: number): Promise<Delivery[]> {
    return (await this.#ask("pending", { limit })).rows.map(deliveryOf);
  }

  async countPending(most: number, user?: string): Promise<number> {
    return (await this.#ask("countPending", { most, user })).value;
  }

  async deliveriesOf(subject: string): Promise<Delivery[]> {
    return (await this.#ask("deliveries", { subject })).rows.map(deliveryOf);
  }

  async secret(user: string): Promise<WebhookSecret | null> {
    return (await this.#ask("secret", { user })).value;
  }

  async endpoints(): Promise<WebhookEndpoint[]> {
    return (await this.#ask("endpoints", {})).value;
  }
}

export class StoredIdempotency implements IdempotencyStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async find(user: string, key: string): Promise<IdempotencyRecord | null> {
    return (await this.#ask("idempotency", { user, key })).value;
  }
}

export class StoredBatchFiles implements BatchFileStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async find(id: string): Promise<BatchFile | null> {
    const [row] = (await this.#ask("batchFile", { id })).rows;
    return row === undefined ? null : batchFileOf(row);
  }

  async ofOutput(file: string): Promise<BatchFile | null> {
    const [row] = (await this.#ask("batchFileOfOutput", { file })).rows;
    return row === undefined ? null : batchFileOf(row);
  }

  async list(filter: BatchFileFilter): Promise<BatchFile[]> {
    return (await this.#ask("batchFiles", { filter })).rows.map(batchFileOf);
  }

  async outputs(filter: OutputFilter): ReturnType<BatchFileStore["outputs"]> {
    const { rows } = await this.#ask("outputs", { filter });
    return rows.map((row) => ({ id: outputIdOf(row), file: batchFileOf(row) }));
  }

  async unfinished(): Promise<BatchFile[]> {
    return (await this.#ask("unfinishedBatchFiles", {})).rows.map(batchFileOf);
  }

  async refusedIn(from: number, to: number, limit: number): Promise<RefusedLine[]> {
    return (await this.#ask("refusedLines", { from, to, limit })).rows.map(refusedLineOf);
  }
}

export class StoredFiles implements FileStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async find(id: string): Promise<StoredFile | null> {
    const [row] = (await this.#ask("file", { id })).rows;
    return row === undefined ? null : fileOf(row);
  }

  async same(identity: FileIdentity): Promise<StoredFile | null> {
    const [row] = (await this.#ask("sameFile", { identity })).rows;
    return row === undefined ? null : fileOf(row);
  }

  async list(filter: FileFilter): Promise<StoredFile[]> {
    return (await this.#ask("files", { filter })).rows.map(fileOf);
  }

  async due(limits: FileLimits, limit: number): Promise<StoredFile[]> {
    return (await this.#ask("dueFiles", { limits, limit })).rows.map(fileOf);
  }

  async remove(id: string): Promise<"removed" | "held" | "absent"> {
    return (await this.#ask("removeFile", { id })).value;
  }

  async totals(): Promise<FileTotal[]> {
    return (await this.#ask("fileTotals", {})).value;
  }

  async ids(after: string, limit: number): Promise<string[]> {
    return (await this.#ask("fileIds", { after, limit })).rows.map(([id]) => id as string);
  }
}

/** Rows of usage that are read at once: a write may have to wait for them, which takes milliseconds. */
const USAGE_AT_ONCE = 2000;

export class StoredUsage implements UsageStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async *sums(filter: UsageFilter, atOnce = USAGE_AT_ONCE): AsyncGenerator<readonly UsageRow[]> {
    let from: number | null = filter.from;
    while (from !== null) {
      const { rows, value }: Answer<"usage"> = await this.#ask("usage", { filter: { ...filter, from }, atOnce });
      yield rows.map(usageOfRow);
      from = value;
    }
  }
}

/** Rows of the audit log that are looked at at once: it takes some milliseconds. */
const AUDIT_AT_ONCE = 10_000;

export class StoredAudit implements AuditStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** Writes go between two parts. */
  async list(filter: AuditFilter, atOnce = AUDIT_AT_ONCE): Promise<AuditEntry[]> {
    const found: AuditEntry[] = [];
    let after = filter.after;
    while (found.length < filter.limit) {
      const limit = filter.limit - found.length;
      const { rows, value }: Answer<"audit"> = await this.#ask("audit", {
        filter: { ...filter, after, limit },
        atOnce,
      });
      for (const row of rows) found.push(auditOf(row));
      if (value === null) break;
      after = value;
    }
    return found;
  }
}
