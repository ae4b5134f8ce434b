import { type FastifyReply } from "fastify";

/**
 * A signal that aborts when the client's connection closes, or the answer is out.
 * The request's own `close` will not do: it comes as soon as the body has been read.
 */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  if (raw.destroyed) return AbortSignal.abort();
  const controller = new AbortController();
  raw.once("close", () => controller.abort());
  return controller.signal;
}
