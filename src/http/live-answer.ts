import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import type { LiveReaders } from "./live-readers.ts";

declare module "fastify" {
  interface FastifyInstance {
    liveReaders?: LiveReaders;
  }
}

const LIVE = {
  // Proxies would else hold pieces back until they have enough to compress, or all of it.
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/**
 * Begins an answer that goes out as it comes about, with the headers that the reply has so far. From here on it belongs to whoever
 * called this: the framework neither buffers nor ends it.
 * @param head "with events": together with what is written in this turn. By itself it would cost a system call, and wake the reader for
 *   nothing
 */
export function beginLiveAnswer(
  reply: FastifyReply,
  contentType: string,
  head: "at once" | "with events" = "at once",
): ServerResponse {
  const { server, request } = reply;
  server.addRates?.(reply);
  // A submission is answered to its end, also when its key ends meanwhile.
  if (request.method === "GET" && !request.pass?.submitter) server.liveReaders?.add(request.caller, reply.raw);
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(raw.statusCode, { ...reply.getHeaders(), ...LIVE, "content-type": contentType } as OutgoingHttpHeaders);
  const socket = head === "with events" ? raw.socket : null;
  if (socket !== null) {
    socket.cork();
    // Not sooner: in the same turn follow the text that is there, and the end of a task that came to disk with its start.
    setImmediate(() => socket.uncork());
  }
  raw.flushHeaders();
  return raw;
}
