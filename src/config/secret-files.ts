/**
 * Secrets that stand in files of their own, as container engines mount them (`/run/secrets/…`) and systemd hands them over
 * (`LoadCredential=`, `$CREDENTIALS_DIRECTORY`): no list of processes and no environment shows them. The end of the last line is none of them.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { messageOf } from "../errors.ts";

/** A secret of more bytes is another file than was meant. */
const MAX_BYTES = 65_536;

type Found = { readonly found: string | undefined } | { readonly fault: string };

/** @param path absolute, so that it means the same wherever the server is started */
export function secretFile(path: string): Found {
  if (!isAbsolute(path))
    return { fault: `the file ${path} must be given by its whole path, like \${file:/run/secrets/name}.` };
  try {
    return { found: textOf(path) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { found: undefined };
    return { fault: `the file ${path} cannot be read: ${messageOf(error).replace(/\.$/, "")}.` };
  }
}

/** @param name as `LoadCredential=` has it, which is no path */
export function credential(name: string, environment: NodeJS.ProcessEnv): Found {
  const folder = environment["CREDENTIALS_DIRECTORY"];
  if (!/^[^/\\]+$/.test(name) || name === "." || name === "..")
    return { fault: `the credential ${name} must be a name, and no path.` };
  if (!folder) return { found: undefined };
  return secretFile(join(folder, name));
}

/** Never waits for a writer, as at a FIFO. */
function textOf(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error("it is not a plain file");
    if (stats.size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(fd));
    return text.replace(/\r?\n$/, "");
  } finally {
    closeSync(fd);
  }
}
