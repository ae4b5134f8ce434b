/** Cuts off clients that ask and do not read: what is kept for them would be kept for ever. */
import type { Server } from "node:http";
import { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";

/** Milliseconds between two looks at all connections, and looks without progress after which one is cut: 30 seconds. */
const PERIOD = 5000;
const LOOKS = 6;

/** How much a connection had taken at the last look. */
interface Seen {
  sent: number;
  queued: number;
  /** Looks since anything was taken. */
  idle: number;
}

/**
 * Watches all connections of a server while it listens. One on which something waits to be taken, and of which nothing was taken for
 * 30 seconds, is destroyed, whatever kind of answer it is. One that waits for us has nothing to take.
 */
export function cutStalledReaders(server: Server): void {
  const waiting = new Map<Socket, Seen>();
  const open = new Set<Socket>();
  const look = (): void => {
    for (const socket of open) {
      if (isStalled(socket, waiting)) socket.destroy();
    }
  };
  server.on(server instanceof HttpsServer ? "secureConnection" : "connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      waiting.delete(socket);
    });
  });
  let timer: NodeJS.Timeout | undefined;
  server.on("listening", () => (timer ??= setInterval(look, PERIOD).unref()));
  server.on("close", () => clearInterval(timer));
}

function isStalled(socket: Socket, waiting: Map<Socket, Seen>): boolean {
  if (socket.writableLength === 0) {
    waiting.delete(socket);
    return false;
  }
  const sent = socket.bytesWritten - socket.writableLength;
  const queued = queuedOf(socket);
  const seen = waiting.get(socket);
  if (seen === undefined || sent > seen.sent || queued < seen.queued) {
    waiting.set(socket, { sent, queued, idle: 0 });
    return false;
  }
  seen.queued = queued;
  return ++seen.idle >= LOOKS;
}

/** Bytes of the write under way that the system has not taken: a single large one may take minutes, and is progress all the same. */
function queuedOf(socket: Socket): number {
  const handle: { readonly writeQueueSize?: number } | null | undefined = Reflect.get(socket, "_handle");
  return handle?.writeQueueSize ?? 0;
}
