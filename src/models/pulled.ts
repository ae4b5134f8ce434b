/** `models.json` in the data directory: the models that were pulled, by the names that requests call them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Static, Type } from "../common/type.ts";
import { readJsonFile, writeJsonFile } from "../common/json-file.ts";
import { checkFor } from "../common/ajv.ts";
import { AltLasError } from "../errors.ts";
import { changeLocked } from "../store/locked-change.ts";

const strict = { additionalProperties: false };
const Text = Type.String({ minLength: 1 });
const Nullable = Type.Union([Text, Type.Null()]);

const Pulled = Type.Object(
  {
    name: Text,
    source: Text,
    /** Unix milliseconds. */
    pulled_at: Type.Integer({ minimum: 0 }),
    /** null: it was asked for, and is not here yet. */
    file: Type.Union([
      Type.Object({ path: Text, bytes: Type.Integer({ minimum: 0 }), commit: Nullable, licence: Nullable }, strict),
      Type.Null(),
    ]),
  },
  strict,
);

const FileSchema = Type.Object(
  {
    version: Type.Literal(1, { allowed: "1; another version of ALT_LAS may have written the file" }),
    models: Type.Array(Pulled),
  },
  strict,
);
const validate = checkFor(FileSchema);

/** A model that was pulled. */
export type PulledModel = Readonly<Static<typeof Pulled>>;

/** It is taken in the server's main thread, which must not stand still for long. */
const LOCK = { name: "models.lock", what: "the list of models", patience: 250 };

/** Where the file is. */
export function pulledPath(dataDir: string): string {
  return join(dataDir, "models.json");
}

/** In the order in which they were pulled; none when there is no file. @throws {AltLasError} `bad_config`, naming the file and what is wrong with it */
export function readPulled(dataDir: string): readonly PulledModel[] {
  const path = pulledPath(dataDir);
  // A server for which nothing was ever pulled compiles no schema.
  if (!existsSync(path)) return [];
  const file = readJsonFile(path, validate) as Static<typeof FileSchema> | undefined;
  const models = file?.models ?? [];
  const twice = models.find(({ name }, index) => models.findIndex((one) => one.name === name) < index);
  if (twice !== undefined)
    throw new AltLasError("bad_config", `${path} is damaged: the model ${twice.name} stands there twice.`);
  return models;
}

/**
 * Changes the file: reads it, lets `change` return what it shall hold, and replaces it at once or not at all. Two processes that do this at
 * the same time do it one after the other.
 * @throws {AltLasError} `bad_config`: the file is damaged or cannot be written, or another process holds it for too long
 */
export function changePulled(
  dataDir: string,
  change: (models: readonly PulledModel[]) => readonly PulledModel[],
): readonly PulledModel[] {
  return changeLocked(dataDir, LOCK, () => {
    const models = change(readPulled(dataDir));
    writeJsonFile(pulledPath(dataDir), { version: 1, models });
    return models;
  });
}

/**
 * Has what is not on this machine fetched again by the next start, as if it had only been asked for: for a data directory that was restored,
 * and that no server uses yet. A damaged file stays as it is; the server says what is wrong with it.
 */
export function forgetMissingFiles(dataDir: string): void {
  let models: readonly PulledModel[];
  try {
    models = readPulled(dataDir);
  } catch {
    return;
  }
  const isHere = ({ file }: PulledModel): boolean => file === null || existsSync(file.path);
  if (models.every(isHere)) return;
  const known = models.map((model) => (isHere(model) ? model : { ...model, file: null }));
  writeJsonFile(pulledPath(dataDir), { version: 1, models: known });
}
