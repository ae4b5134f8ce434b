/** Bodies that may take as long as they need, as long as they come on. The server's limit for all of a request is not for them. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { AltLasError } from "../errors.ts";

/** Milliseconds between two looks, and bytes that have to come meanwhile: a kilobyte a second. */
const PERIOD = 30_000;
const LEAST = 30 * 1024;

const watched = new WeakSet<Socket>();

/** Whether a body that is being watched comes on this connection. */
export function hasSlowBody(socket: Socket): boolean {
  return watched.has(socket);
}

/**
 * Watches the body of a request, until what is returned is disposed of.
 * @param stalled is told, with a `request_timeout`, when too little has come for a while
 * @param period for tests
 */
export function watchSlowBody(
  request: IncomingMessage,
  stalled: (error: AltLasError) => void,
  period = PERIOD,
): Disposable {
  const { socket } = request;
  let before = socket.bytesRead;
  const look = (): void => {
    const came = socket.bytesRead - before;
    before = socket.bytesRead;
    // It is paused while our own disk has not taken what came.
    if (came >= LEAST || request.isPaused()) return;
    const sentence = `Only ${came} bytes of the body came within ${period / 1000} seconds; it must be ${LEAST} at least.`;
    stalled(new AltLasError("request_timeout", sentence));
  };
  const timer = setInterval(look, period).unref();
  watched.add(socket);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      watched.delete(socket);
    },
  };
}
