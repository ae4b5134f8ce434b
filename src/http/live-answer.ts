import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { FastifyReply } from "fastify";
import { http } from "../common/node-http.ts";
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

/** The response of an answer that goes out as it comes about. It takes nothing but text. */
export interface LiveAnswer extends Omit<ServerResponse, "write" | "end"> {
  write(text: string): boolean;
  end(text?: string): unknown;
}

/**
 * Begins an answer that goes out as it comes about, with the headers that the reply has so far. From here on it belongs to whoever
 * called this: the framework neither buffers nor ends it.
 * @param head "with events": together with what is written in this turn, which has to be text. By itself it would cost a system call, and wake
 *   the reader for nothing
 */
export function beginLiveAnswer(
  reply: FastifyReply,
  contentType: string,
  head: "at once" | "with events" = "at once",
): LiveAnswer {
  const { server, request } = reply;
  server.addRates?.(reply);
  // A submission is answered to its end, also when its key ends meanwhile.
  if (request.method === "GET" && !request.pass?.submitter) server.liveReaders?.add(request.caller, reply.raw);
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(raw.statusCode, { ...reply.getHeaders(), ...LIVE, "content-type": contentType } as OutgoingHttpHeaders);
  if (head === "at once" || raw.socket === null) raw.flushHeaders();
  else waitForText(raw, raw.socket);
  return raw;
}

type Chunked = ServerResponse & { [HAS_TEXT]?: boolean };

const NODE = http.ServerResponse.prototype;
const HAS_TEXT = Symbol("hasText");
const LAST_CHUNK = "0\r\n\r\n";

function waitForText(raw: Chunked, socket: Socket): void {
  // HTTP/1.0 has no chunks. Something between us and Node's response makes them itself.
  if (raw.chunkedEncoding && raw.write === NODE.write) Object.assign(raw, CHUNKS);
  else raw.flushHeaders();
  socket.cork();
  // Not sooner: in the same turn follow the text that is there, and the end of a task that came to disk with its start.
  setImmediate(() => {
    if (raw.write === CHUNKS.write && raw[HAS_TEXT] !== true) raw.flushHeaders();
    socket.uncork();
  });
}

/**
 * A response that makes its chunks (RFC 9112, section 7.1) of whole texts. Node writes the length of a chunk, the ends of its lines, its text and
 * the last chunk one by one, which takes as long again as the system call for all of them.
 */
const CHUNKS = {
  chunkedEncoding: false,
  write(this: Chunked, text: string): boolean {
    // A chunk without text would be the last one.
    if (text === "") return !this.writableNeedDrain;
    this[HAS_TEXT] = true;
    return NODE.write.call(this, chunkOf(text), "utf8");
  },
  end(this: Chunked, text = ""): ServerResponse {
    if (this.writableEnded) return this;
    this[HAS_TEXT] = true;
    return NODE.end.call(this, (text === "" ? "" : chunkOf(text)) + LAST_CHUNK, "utf8");
  },
};

function chunkOf(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}
