/* Sockets in the file system: whether a server lives behind one, and how one takes the place of a dead server's. */
import { once } from "node:events";
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { AltLasError } from "../errors.ts";
import { renameSync } from "./rename.ts";

/** Bytes that an address may have: `sun_path` of macOS, its closing zero included; Linux has four more. */
export const MAX_ADDRESS = 104;

/** Whether somebody accepts connections there; a killed server leaves a socket where nobody does. */
export async function isLive(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code !== "ECONNREFUSED" && code !== "ENOENT";
  } finally {
    socket.destroy();
  }
}

/** Bytes that a path may have: beside it a folder is made, in which the socket is bound first. */
export const MAX_PATH = MAX_ADDRESS - 1 - "/s.new".length;

/**
 * Binds a socket that is to be found at `path`. It is bound in a folder that nobody else may enter, and moved when it has its mode: so it takes
 * the place of a dead server's in one step, and nobody finds it with another mode.
 * @param bind listens at a path
 * @returns removes it, unless another server's has taken its place
 * @throws {AltLasError} `bad_config`: something is there that must stay; what `bind` throws
 */
export async function bindSocket(
  path: string,
  mode: number,
  bind: (path: string) => Promise<unknown>,
): Promise<() => void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isSocket()) throw refusal(path, "a file is there that is no socket");
  if (there !== undefined && (await isLive(path))) throw refusal(path, "another program listens there");
  const folder = `${path}.new`;
  // Of a server that was killed in between.
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  try {
    const first = join(folder, "s");
    await bind(first);
    chmodSync(first, mode);
    renameSync(first, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { ino } = lstatSync(path);
  return () => {
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
  };
}

function refusal(path: string, why: string): AltLasError {
  return new AltLasError("bad_config", `Cannot listen on the socket ${path}: ${why}.`);
}
