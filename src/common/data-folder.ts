/** The data directory as a folder: whether it has files of ours, and whose it is. */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { AltLasError, messageOf } from "../errors.ts";
import { pathFault } from "./file-words.ts";
import { shellWord } from "./paste.ts";

/** Files that a server or a command leaves there; each of them shows that the folder is in use. */
const OURS = [
  "alt-las.db",
  "alt-las.lock",
  "cluster.json",
  "credentials.json",
  "gpus.json",
  "models.json",
  "runtime.json",
];
/** A folder there, of a name that anybody's folder may have. */
const FILES = "files";

/**
 * Whether a server or a command has ever kept something there.
 * @throws {AltLasError} `bad_config` when it is another user's, so that nobody can tell
 */
export function hasData(folder: string): boolean {
  checkOwner(folder);
  return OURS.some((name) => existsSync(join(folder, name)));
}

/** @throws {AltLasError} `bad_config` when it cannot be made or written, or is another user's */
export function makeDataDir(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    const sentence = `The data directory ${JSON.stringify(folder)} cannot be made: ${pathFault(error)}. Name another one with --data-dir.`;
    throw new AltLasError("bad_config", foreignOwner(folder, error) ?? sentence, { cause: error });
  }
  checkOwner(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const sentence = `The data directory ${resolve(folder)} cannot be written: ${messageOf(error)}. Name another one with --data-dir.`;
    throw new AltLasError("bad_config", foreignOwner(folder, error) ?? sentence, { cause: error });
  }
  const sentence = rootAmongOthers(folder);
  if (sentence !== null) throw new AltLasError("bad_config", sentence);
}

/**
 * Says that a server would leave root's files in somebody else's folder, where its next start as that user could not use them. A folder that
 * root's server has served before goes on being served.
 * @param me the number of the user that this process runs as; undefined: the system has none
 * @returns a sentence with what to do; null: there is no such danger
 */
export function rootAmongOthers(folder: string, me = process.geteuid?.()): string | null {
  const [owner] = uidOf(folder);
  if (me !== 0 || owner === undefined || owner === 0) return null;
  if (OURS.some((name) => uidOf(join(folder, name))[0] === 0)) return null;
  const path = resolve(folder);
  return `The data directory ${path} belongs to another user, ${shownUser(owner)}, who could not use what root writes there: ${mended(owner, me, path)}`;
}

/**
 * Does something in a data directory with the rights of its owner, where root is somebody else: the server can use what root leaves there,
 * and a link of the owner leads root nowhere that the owner could not go.
 * @param work must be done when it returns: the rights are those of the whole process meanwhile
 */
export function asOwnerOf<T>(folder: string, work: () => T): T {
  const { geteuid, getegid, seteuid, setegid } = process;
  const { uid, gid } = statSync(folder);
  if (geteuid?.() !== 0 || uid === 0 || getegid === undefined || seteuid === undefined || setegid === undefined)
    return work();
  const group = getegid();
  setegid(gid);
  try {
    seteuid(uid);
    return work();
  } finally {
    seteuid(0);
    setegid(group);
  }
}

/** @throws {AltLasError} `bad_config`: it is another user's, and this one may not use it */
function checkOwner(folder: string): void {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK);
    for (const name of [...OURS, FILES].filter((one) => existsSync(join(folder, one))))
      accessSync(join(folder, name), constants.R_OK);
  } catch (error) {
    const sentence = foreignOwner(folder, error);
    if (sentence !== null) throw new AltLasError("bad_config", sentence, { cause: error });
  }
}

/**
 * Says whose a data directory is, after something in it was refused: one start with sudo is enough for it to be root's.
 * @param error what the system said
 * @param me the number of the user that this process runs as; undefined: the system has none
 * @returns a sentence with what to do; null: this is not why
 */
export function foreignOwner(folder: string, error: unknown, me = process.geteuid?.()): string | null {
  const { code } = error as NodeJS.ErrnoException;
  if ((code !== "EACCES" && code !== "EPERM") || me === undefined) return null;
  const path = resolve(folder);
  const seen = nearestSeen(path);
  const owner = ownersOf(seen).find((uid) => uid !== me);
  if (owner === undefined) return null;
  const whose = `belongs to another user, ${shownUser(owner)}`;
  if (seen !== path)
    return `The data directory ${path} cannot be used, because ${seen} ${whose}: ${elsewhere()}${runAs(owner)}.`;
  return `The data directory ${path} ${whose}: ${mended(owner, me, path)}`;
}

/** Advice about a folder that is another user's. */
function mended(owner: number, me: number, path: string): string {
  const toWhom = userName(me) ?? me;
  // The numbers are the same on the host, and the names are not.
  if (!isContainer())
    return `${runAs(owner)}, or give the folder to yours with: sudo chown -R ${toWhom} ${shellWord(path)}`;
  const give = `give the folder that is mounted there to number ${me}, on the host: sudo chown -R ${me} FOLDER`;
  if (me === 0) return `${runAs(owner)}.`;
  return owner === 0 ? give : `${runAs(owner)}, or ${give}`;
}

/** Root owns what is around most folders: a folder that is not there yet is no reason to run anything as root. */
function elsewhere(): string {
  return isContainer() ? "" : "name a folder of your own with --data-dir, or, if the data are that user's, ";
}

function runAs(owner: number): string {
  if (isContainer()) return `start the container with --user ${owner}:${owner}`;
  return `run this as that user (${owner === 0 ? "sudo" : `sudo -u ${userName(owner) ?? `'#${owner}'`}`})`;
}

/** As images and containers say it of themselves: https://systemd.io/CONTAINER_INTERFACE/ */
function isContainer(): boolean {
  return Boolean(process.env["container"]);
}

function shownUser(uid: number): string {
  return userName(uid) ?? `number ${uid}`;
}

/** A folder, or the first one around it that this user may look at: what keeps it out. */
function nearestSeen(path: string): string {
  return uidOf(path).length > 0 || dirname(path) === path ? path : nearestSeen(dirname(path));
}

/** The users of a folder and of what is in it; of what this process may not look at, nothing. */
function ownersOf(folder: string): number[] {
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    // Its own owner is known all the same.
  }
  return [folder, ...names.map((name) => join(folder, name))].flatMap(uidOf);
}

function uidOf(path: string): number[] {
  try {
    return [statSync(path).uid];
  } catch {
    return [];
  }
}

/** Node knows the name of its own user only. */
function userName(uid: number): string | undefined {
  try {
    const lines = readFileSync("/etc/passwd", "utf8").split("\n");
    return lines.map((line) => line.split(":")).find(([, , number]) => number === String(uid))?.[0];
  } catch {
    return undefined;
  }
}
