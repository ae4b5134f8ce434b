/** Small files in the data directory, mostly JSON: read whole, checked, and replaced at once or not at all. */
import { chmodSync, closeSync, fsyncSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Check } from "./ajv.ts";
import { foreignOwner } from "./data-folder.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { nextName } from "./next-file.ts";
import { readPlainFile } from "./plain-file.ts";
import { renameSync } from "./rename.ts";
import { syncFolder } from "./sync.ts";
import { misfitOf } from "./validation.ts";

/**
 * Reads a file that has to fit a schema; undefined: there is none.
 * @throws {AltLasError} `bad_config`, naming the file and what is wrong with it
 */
export function readJsonFile(path: string, validate: Check): unknown {
  let text: string;
  try {
    text = readPlainFile(path).toString("utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw refusalOf(path, "cannot be read", error);
  }
  const value = parse(text, path);
  if (validate(value)) return value;
  throw new AltLasError("bad_config", `${path}: ${misfitOf(validate, "the file").sentence}`);
}

/**
 * Takes the rights of others at a file that holds secrets, where there is one.
 * @throws {AltLasError} `bad_config`: the file is another user's
 */
export function keepPrivate(path: string): void {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() && (stats.mode & 0o077) !== 0) chmodSync(path, 0o600);
  } catch (error) {
    throw refusalOf(path, "cannot be made private", error);
  }
}

function refusalOf(path: string, what: string, error: unknown): AltLasError {
  const sentence = foreignOwner(dirname(path), error) ?? `${path} ${what}: ${messageOf(error)}.`;
  return new AltLasError("bad_config", sentence, { cause: error });
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message would repeat a part of the file.
    throw new AltLasError("bad_config", `${path} is damaged: it is not JSON. Put a copy back, or remove it.`);
  }
}

/**
 * Writes a file for its owner alone. After any failure either the old file or the new one is in place.
 * @throws {AltLasError} `bad_config`: it cannot be written
 */
export function writeJsonFile(path: string, value: unknown): void {
  writePrivateFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** As `writeJsonFile`. */
export function writePrivateFile(path: string, text: string): void {
  const next = nextName(path);
  try {
    // On disk before it takes the name, or a power cut could leave the name with nothing behind it.
    const fd = openSync(next, "wx", 0o600);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw refusalOf(path, "cannot be written", error);
  }
  syncFolder(dirname(path));
}
