/**
 * How commands on this machine get into the audit log, whether a server runs or not: each leaves a file of its own in a folder of the data
 * directory. The server that has the data takes the files over, and removes them when their rows are on disk. A row that is taken over
 * twice, because a server died in between, is there once by its id.
 */
import { randomUUIDv7 } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { asOwnerOf } from "../common/data-folder.ts";
import { wallTime } from "../common/clock.ts";
import { ABSENT, FileWatch } from "../common/file-watch.ts";
import { readJsonFile, writeJsonFile } from "../common/json-file.ts";
import { rename } from "../common/rename.ts";
import { type Static, Type } from "../common/type.ts";
import { checkFor } from "../common/ajv.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { AUDIT_CODES, isAuditAction } from "./actions.ts";
import type { AuditLog } from "./audit-log.ts";

const Text = Type.Unsafe<string | null>({ type: ["string", "null"] });

const RowSchema = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 100 }),
  at: Type.Integer(),
  user: Text,
  action: Type.Enum(AUDIT_CODES as [string, ...string[]]),
  target: Text,
  outcome: Type.String(),
  details: Text,
});
type CommandRow = Static<typeof RowSchema>;

const validate = checkFor(RowSchema);

/** Files that are taken over at once. */
const AT_ONCE = 500;

/** An action of a command, and its outcome. */
export type CommandEvent = Pick<CommandRow, "action" | "target" | "outcome" | "details">;

/** @throws {AltLasError} `bad_config`: it cannot be written */
export function leaveRow(dataDir: string, event: CommandEvent): void {
  const folder = folderIn(dataDir);
  const id = randomUUIDv7();
  const row = { id, at: wallTime(), user: ownName(), ...event };
  asOwnerOf(dataDir, () => {
    if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
    writeJsonFile(join(folder, `${id}.json`), row);
  });
}

/** Takes rows over, those that are there and those that come. @returns what ends it */
export function takeCommandRows(dataDir: string, audit: AuditLog, log: Pick<Logger, "warn">): () => Promise<void> {
  const folder = folderIn(dataDir);
  let seen = ABSENT;
  let taking: Promise<void> = Promise.resolve();
  const take = (): void => {
    taking = taking.then(() => takeOver(folder, audit, log));
  };
  take();
  const watch = new FileWatch(folder, {
    seen: (version) => {
      if (version !== seen && version !== ABSENT) take();
      seen = version;
    },
  });
  return () => {
    watch.stop();
    return taking;
  };
}

async function takeOver(folder: string, audit: AuditLog, log: Pick<Logger, "warn">): Promise<void> {
  try {
    // Made by the server, so that it is the server's: a command may run as somebody else.
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // The names are in the order of the times. Others are of writes under way.
    const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted();
    for (let first = 0; first < names.length; first += AT_ONCE) {
      const files = names.slice(first, first + AT_ONCE).map((name) => readRow(join(folder, name)));
      const rows = files.flatMap((file) => (file.row === null ? [] : [file.row]));
      if (!(await audit.takeAll(rows))) return;
      for (const file of files) {
        if (file.row !== null) await rm(file.path, { force: true });
        else await setAside(file, log);
      }
    }
  } catch (error) {
    log.warn({ audit: true, reason: messageOf(error) }, "rows that commands have left cannot be read");
  }
}

interface RowFile {
  readonly path: string;
  /** null: it is no row, or cannot be read. */
  readonly row: Parameters<AuditLog["take"]>[0] | null;
  readonly why: string;
}

function readRow(path: string): RowFile {
  try {
    const row = readJsonFile(path, validate) as CommandRow;
    if (!isAuditAction(row.action)) return { path, row: null, why: `there is no action ${row.action}` };
    return { path, row: { ...row, action: row.action, way: "command" as const, key: null, address: null }, why: "" };
  } catch (error) {
    return { path, row: null, why: messageOf(error) };
  }
}

/** It stays for whoever wants to know, and is not tried again. */
async function setAside({ path, why }: RowFile, log: Pick<Logger, "warn">): Promise<void> {
  log.warn({ audit: true, path, reason: why }, "a row that a command has left cannot be used");
  await rename(path, `${path}.unusable`);
}

/** The user of the system; in containers it may have a number only. */
function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown");
  }
}

function folderIn(dataDir: string): string {
  return join(dataDir, "audit-commands");
}
