/** The data directory: whether it can be used, and whether what is in it is sound. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { absentCredentials, readCredentials } from "../auth/file.ts";
import { lookAtDatabase } from "../backup/look.ts";
import { foreignOwner, hasData } from "../common/data-folder.ts";
import { shellWord } from "../common/paste.ts";
import type { Config } from "../config/config.ts";
import { KnownGpus } from "../gpu/inventory/known-gpus.ts";
import { messageOf } from "../errors.ts";
import { readPulled } from "../models/pulled.ts";
import type { Fact, Problem, Section } from "./section.ts";

export interface DataOptions {
  readonly dataDir: string;
  readonly why: string;
  /** null: it cannot be used, and the database is looked for in the data directory. */
  readonly config: Config | null;
  /** Whether a server has the database. */
  readonly runs: boolean;
}

/** Bytes of a database that is read as a whole; a larger one would keep its server from starting for minutes. */
const MOST_READ = 512 * 2 ** 20;

const ON_POSTGRES = "on PostgreSQL (store.url)";

/** Looks, and changes nothing. */
export function data({ dataDir, why, config, runs }: DataOptions): Section {
  const folder = resolve(dataDir);
  const problems: Problem[] = [];
  const attempt = <T>(work: () => T): T | null => {
    try {
      return work();
    } catch (error) {
      problems.push({ problem: messageOf(error), mend: null });
      return null;
    }
  };
  const has = attempt(() => hasData(dataDir));
  const facts: Record<string, Fact> = { folder, why, has_data: has };
  problems.push(...(existsSync(folder) ? unwritable(folder) : unmakable(folder)));
  if (has !== true) return { facts, problems };
  const isOnPostgres = config?.store.url !== undefined;
  const users = isOnPostgres ? null : attempt(() => readCredentials(dataDir));
  const absence = config === null || isOnPostgres ? null : absentCredentials(dataDir, config.auth);
  if (absence !== null) problems.push({ problem: `${absence}. Put a copy back, or restore a backup.`, mend: null });
  attempt(() => KnownGpus.open(dataDir));
  return {
    facts: {
      ...facts,
      users: isOnPostgres ? ON_POSTGRES : (users?.users.length ?? null),
      keys: isOnPostgres ? ON_POSTGRES : (users?.keys.length ?? null),
      pulled_models: attempt(() => readPulled(dataDir))?.length ?? null,
      ...(isOnPostgres
        ? { database: ON_POSTGRES }
        : databaseFacts(config?.store.path ?? join(dataDir, "alt-las.db"), runs, problems)),
    },
    problems,
  };
}

function unwritable(folder: string): Problem[] {
  if (!statSync(folder).isDirectory())
    return [{ problem: `The data directory ${folder} is no folder. Name another one with --data-dir.`, mend: null }];
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    const problem =
      foreignOwner(folder, error) ?? `The data directory ${folder} cannot be written: ${messageOf(error)}.`;
    const isReadOnly = (error as NodeJS.ErrnoException).code === "EROFS";
    return [{ problem, mend: isReadOnly ? null : `chmod u+rwx ${shellWord(folder)}` }];
  }
}

/** The nearest folder around it that is there has to take it. */
function unmakable(folder: string): Problem[] {
  let around = dirname(folder);
  while (!existsSync(around) && dirname(around) !== around) around = dirname(around);
  try {
    accessSync(around, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    const problem = `The data directory ${folder} is not there and cannot be made: ${messageOf(error)}. Name another one with --data-dir.`;
    return [{ problem, mend: null }];
  }
}

/** A server that runs has the database for itself, and says itself whether it can write. */
function databaseFacts(path: string, runs: boolean, problems: Problem[]): Record<string, Fact> {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? null;
  const facts = { database: resolve(path), database_bytes: bytes };
  if (bytes === null || runs) return facts;
  try {
    const isWhole = bytes <= MOST_READ;
    const { schema, tasks, damage } = lookAtDatabase(path, isWhole);
    if (damage !== null)
      problems.push({
        problem: `The task database ${path} is damaged (${damage}). A start puts it aside and begins a new one; a backup has what was in it.`,
        mend: null,
      });
    return { ...facts, tasks, schema, database_check: isWhole ? "read as a whole" : "too large to be read as a whole" };
  } catch (error) {
    problems.push({ problem: messageOf(error), mend: null });
    return facts;
  }
}
