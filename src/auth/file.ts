/** `credentials.json` in the data directory: the users and keys that are neither in the configuration nor on PostgreSQL. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Type, type Static } from "../common/type.ts";
import { type Config, KeySchema, UserSchema } from "../config/config.ts";
import { keepPrivate, readJsonFile, writeJsonFile } from "../common/json-file.ts";
import type { Accounts, AccountStore, Change, KeyUses } from "../store/accounts.ts";
import { changeLocked } from "../store/locked-change.ts";
import { checkFor } from "../common/ajv.ts";
import { readKeyUse, writeKeyUse } from "./key-use-file.ts";
import { checkPasswordHash } from "./secrets.ts";

const strict = { additionalProperties: false };
const CreatedAt = Type.String({ allowed: "a time" });

const FileSchema = Type.Object(
  {
    version: Type.Literal(1),
    users: Type.Array(Type.Object({ ...UserSchema.properties, created_at: CreatedAt }, strict)),
    keys: Type.Array(
      Type.Object(
        {
          ...KeySchema.properties,
          created_at: CreatedAt,
          // Those before it was rotated, which go on for a while.
          previous: Type.Optional(
            Type.Array(Type.Object({ sha256: KeySchema.properties.sha256, until: CreatedAt }, strict)),
          ),
        },
        strict,
      ),
    ),
    // Data of removed users may still be stored under their names.
    removed: Type.Optional(Type.Array(Type.Object({ name: UserSchema.properties.name, at: CreatedAt }, strict))),
  },
  strict,
);

/** The content of the file. */
export type CredentialsFile = Static<typeof FileSchema>;

const validate = checkFor(FileSchema);

const LOCK = { name: "credentials.lock", what: "the credentials", patience: 10_000 };

/** Where the file is. */
export function credentialsPath(dataDir: string): string {
  return join(dataDir, "credentials.json");
}

/** Takes the rights of others at the file and at its lock. */
export function keepCredentialsPrivate(dataDir: string): void {
  for (const path of [credentialsPath(dataDir), lockPath(dataDir)]) keepPrivate(path);
}

/**
 * Whether the file was there and is gone, as far as that can be told: its lock stays where it was ever written. Without the lock, tasks
 * tell that somebody could call; where the configuration has users, they could.
 * @param hadTasks whether there is a database that has tasks, or may have them
 * @returns the beginning of a sentence that says so; null: nothing is missing
 */
export function absentCredentials(
  dataDir: string,
  { enabled, users }: Pick<Config["auth"], "enabled" | "users">,
  hadTasks = existsSync(join(dataDir, "alt-las.db")),
): string | null {
  const path = credentialsPath(dataDir);
  if (existsSync(path)) return null;
  const wasThere = existsSync(lockPath(dataDir)) || (enabled && users.length === 0 && hadTasks);
  return wasThere ? `${path} is gone, and with it the users and keys of before` : null;
}

/** As `absentCredentials`; null where users and keys are in no file. */
export function absenceIn(
  {
    accounts,
    dataDir,
    config,
  }: { readonly accounts?: unknown; readonly dataDir: string; readonly config: Config["auth"] },
  hadTasks?: boolean,
): string | null {
  return accounts === undefined ? absentCredentials(dataDir, config, hadTasks) : null;
}

/**
 * Reads the file; one that does not exist is empty.
 * @throws {AltLasError} `bad_config`, naming the file and what is wrong with it
 */
export function readCredentials(dataDir: string): CredentialsFile {
  const path = credentialsPath(dataDir);
  const file = (readJsonFile(path, validate) ?? { version: 1, users: [], keys: [] }) as CredentialsFile;
  for (const { name, password_hash } of file.users) {
    if (password_hash !== undefined) checkPasswordHash(password_hash, `${path}: the password_hash of ${name}`);
  }
  return file;
}

/**
 * Changes the file: reads it, lets `change` return what it shall be, and replaces it at once or not at all.
 * Two processes that do this at the same time do it one after the other.
 * @param patience milliseconds to wait for another process, in which this one does nothing else
 * @returns what `change` returned beside the file
 * @throws {AltLasError} `bad_config`: the file is damaged or cannot be written, or cannot be locked; `conflict`: another process holds it for too long
 */
export function changeCredentials<T>(
  dataDir: string,
  change: (file: CredentialsFile) => { readonly file: CredentialsFile; readonly result: T },
  patience: number = LOCK.patience,
): T {
  return changeLocked(dataDir, { ...LOCK, patience }, () => {
    const { file, result } = change(readCredentials(dataDir));
    writeJsonFile(credentialsPath(dataDir), file);
    return result;
  });
}

/** The users and keys that no server has elsewhere. */
export class FileAccounts implements AccountStore {
  readonly #dataDir: string;
  readonly #patience: number | undefined;

  /** @param patience milliseconds to wait for another process that changes them, in which this one does nothing else; absent: as a command may */
  constructor(dataDir: string, patience?: number) {
    this.#dataDir = dataDir;
    this.#patience = patience;
  }

  async read(): Promise<Accounts> {
    return readCredentials(this.#dataDir);
  }

  async change<T>(change: Change<T>): Promise<T> {
    const inFile = (file: CredentialsFile) => {
      const { accounts, result } = change(file);
      return { file: { version: 1, ...accounts } as CredentialsFile, result };
    };
    return changeCredentials(this.#dataDir, inFile, this.#patience);
  }

  async uses(): Promise<KeyUses> {
    return readKeyUse(this.#dataDir);
  }

  async addUses(uses: KeyUses, known: (sha256: string) => boolean): Promise<void> {
    const all = [...readKeyUse(this.#dataDir), ...uses].filter(([sha256]) => known(sha256));
    await writeKeyUse(this.#dataDir, new Map(all));
  }
}

function lockPath(dataDir: string): string {
  return join(dataDir, LOCK.name);
}
