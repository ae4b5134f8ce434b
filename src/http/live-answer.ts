import { type ServerResponse } from "node:http";
import { type FastifyReply } from "fastify";

const LIVE = {
  // Proxies would else hold pieces back until they have enough to compress, or all of it.
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/**
 * Begins an answer that goes out as it comes about, with the headers that the reply has so far. From here on it belongs to whoever
 * called this: the framework neither buffers nor ends it.
 */
export function beginLiveAnswer(reply: FastifyReply, contentType: string): ServerResponse {
  reply.server.addRates?.(reply);
  reply.hijack();
  const { raw } = reply;
  for (const [name, value] of Object.entries({ ...reply.getHeaders(), ...LIVE, "content-type": contentType })) {
    if (value !== undefined) raw.setHeader(name, value);
  }
  raw.flushHeaders();
  return raw;
}
