/** Small files that are read whole, wherever their paths lead. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";

/**
 * Reads a file. It never waits for a writer, and takes nothing that never ends: what is no plain file (a FIFO, a device) is refused.
 * @param most bytes; those of /proc say that they have none, and others grow while they are read
 * @throws {Error} of the system, or one whose words end a sentence
 */
export function readPlainFile(path: string, most = Infinity): Buffer {
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error("it is not a plain file");
    if (most === Infinity) return readFileSync(fd);
    const bytes = stats.size > most ? null : readUpTo(fd, most);
    if (bytes === null) throw new Error(`it has more than ${most} bytes`);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** null: there are more. */
function readUpTo(fd: number, most: number): Buffer | null {
  const buffer = Buffer.alloc(most + 1);
  let length = 0;
  for (;;) {
    const read = readSync(fd, buffer, length, buffer.length - length, null);
    length += read;
    if (length > most) return null;
    if (read === 0) return buffer.subarray(0, length);
  }
}
