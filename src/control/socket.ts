/* Where the control socket is. Server and commands meet at `alt-las.sock` in the data directory; on Windows at a pipe that is named for it. */
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { type System, SYSTEM } from "../common/system.ts";
import { MAX_ADDRESS } from "../common/unix-socket.ts";
import { AltLasError } from "../errors.ts";

/** The socket's name in the data directory. */
export const SOCKET_NAME = "alt-las.sock";

/** A name of the socket that fits into an address, and stays the socket of this one folder. */
export interface SocketName {
  readonly path: string;
  /** The name means nothing afterwards. */
  close(): void;
}

/**
 * Names the socket of a data directory, which has to exist.
 *
 * Linux: by an open folder. The name is short however deep the folder lies. A folder that was moved away keeps its socket, so a
 * server never removes the socket of another one that has begun a new folder at the same place.
 *
 * Windows: by the hash of the folder's true path, as all pipes have names in one place. The system lets only the server's own user, and the
 * administrators, write into the pipe that it makes; nobody can ask who does not write.
 *
 * @throws {AltLasError} `bad_config` when there can be no socket, as its path is too long; what `open` throws
 */
export function nameSocket(dataDir: string, system: System = SYSTEM): SocketName {
  if (system.localServers === "pipes") return { path: pipeOf(realpathSync.native(dataDir)), close: () => {} };
  if (system.platform === "linux" && existsSync("/proc/self/fd")) {
    const folder = openSync(dataDir, "r");
    return { path: `/proc/self/fd/${folder}/${SOCKET_NAME}`, close: () => closeSync(folder) };
  }
  const path = join(resolve(dataDir), SOCKET_NAME);
  const bytes = Buffer.byteLength(path);
  if (bytes >= MAX_ADDRESS) throw none(`${path} has ${bytes} bytes, and a socket's path at most ${MAX_ADDRESS - 1}`);
  return { path, close: () => {} };
}

/** @param folder its true path, of which the system does not tell apart capitals and small letters */
function pipeOf(folder: string): string {
  const digest = createHash("sha256").update(folder.toLowerCase()).digest("hex");
  return `\\\\.\\pipe\\alt-las-${digest.slice(0, 32)}`;
}

function none(why: string): AltLasError {
  return new AltLasError("bad_config", `There is no control socket: ${why}.`);
}
