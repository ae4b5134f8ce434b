/**
 * Lets a client read why its body is refused. A connection that is closed while it still sends is reset, and most clients then tell of a
 * broken pipe, not of the answer.
 */
import type { IncomingMessage } from "node:http";

/** Milliseconds, and bytes, that a client may go on sending after its answer; all of that is dropped. */
const LONGEST = 30_000;
const MOST = 256 * 2 ** 20;

/** When the answer ends its connection, what is still being sent is taken first: all of the request, within bounds. */
export function lingerAfter(request: IncomingMessage): void {
  const { socket } = request;
  if (request.complete || Object.hasOwn(socket, "destroySoon")) return;
  // Node's server calls this once the answer is written.
  socket.destroySoon = () => {
    Reflect.deleteProperty(socket, "destroySoon");
    if (request.complete || socket.destroyed) return socket.destroySoon();
    const end = (): void => socket.destroySoon();
    const timer = setTimeout(() => socket.destroy(), LONGEST);
    const before = socket.bytesRead;
    const count = (): void => {
      if (socket.bytesRead - before > MOST) socket.destroy();
    };
    request.on("error", () => {}).on("data", count);
    request.once("end", end).once("close", end);
    socket.once("close", () => clearTimeout(timer));
    // It has all of the answer, and may stop when it has read it.
    socket.end();
    request.resume();
  };
}
