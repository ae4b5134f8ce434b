/** When a client has gone, as opposed to one that has only said all it will say. */
import type { Socket } from "node:net";
import type { FastifyReply } from "fastify";
import { takeOut } from "../common/in-flight.ts";
import { AltLasError, type ErrorCode } from "../errors.ts";
import type { ServerParts } from "./server-parts.ts";

/**
 * Milliseconds from the end of what a client sends until it is asked for a sign of life, and between that and the next. The first
 * makes the system of a client that has gone reset the connection, which the second finds out.
 */
const FIRST_PROBES = 1000;
const LATER_PROBES = 15_000;

/** One for all: a signal that is given no reason makes an error with a stack. */
const GONE = new DOMException("The client has gone.", "AbortError");

/**
 * A signal that aborts when the client's connection closes, or the answer is out. A client that only closes its sending side waits
 * for its answer (RFC 9112, section 9.6), and looks the same at first: it is sent something, which one that has gone does not take.
 * The request's own `close` will not do: it comes as soon as the body has been read.
 * @param probe writes something that the client passes over; by default an interim answer, which HTTP/1.0 does not have
 */
export function goneSignal(reply: FastifyReply, probe: () => void = () => sayProcessing(reply)): AbortSignal {
  const { raw } = reply;
  if (raw.destroyed) return AbortSignal.abort(GONE);
  const controller = new AbortController();
  const stop = probeWhenHalfClosed(reply, probe);
  raw.once("close", () => {
    stop();
    controller.abort(GONE);
  });
  return controller.signal;
}

/** Calls `probe` from time to time once the client sends no more, until what is returned is called. */
export function probeWhenHalfClosed({ request }: FastifyReply, probe: () => void): () => void {
  const { socket } = request.raw;
  let timer: NodeJS.Timeout | undefined;
  let probes = 0;
  const next = (): void => {
    timer = setTimeout(
      () => {
        probe();
        probes++;
        next();
      },
      probes < 2 ? FIRST_PROBES : LATER_PROBES,
    );
  };
  const forget = onHalfClose(socket, next);
  return () => {
    forget();
    clearTimeout(timer);
  };
}

/** Called when a client sends no more: one listener for a connection, which may carry many requests at once. */
const callbacks = new WeakMap<Socket, (() => void)[]>();

/** @returns what forgets the callback */
export function onHalfClose(socket: Socket, callback: () => void): () => void {
  if (socket.readableEnded) {
    callback();
    return () => {};
  }
  let all = callbacks.get(socket);
  if (all === undefined) {
    const added: (() => void)[] = [];
    all = added;
    callbacks.set(socket, added);
    socket.once("end", () => {
      for (const call of added.slice()) call();
    });
  }
  all.push(callback);
  return () => void takeOut(all, callback);
}

function sayProcessing({ request, raw }: FastifyReply): void {
  if (request.raw.httpVersion === "1.1" && !raw.headersSent) raw.writeProcessing();
}

const AS_GOOD: ReadonlySet<ErrorCode> = new Set(["conflict", "not_found", "draining"]);

/** Cancels a task that nobody waits for any more. */
export async function cancelAbandoned({ tasks, log }: Pick<ServerParts, "tasks" | "log">, id: string): Promise<void> {
  try {
    await tasks.cancel(id);
  } catch (error) {
    // It has ended, or the next start ends it, which is as good.
    if (error instanceof AltLasError && AS_GOOD.has(error.code)) return;
    log.error({ err: error, task: id }, "a task whose client has left could not be canceled");
  }
}
