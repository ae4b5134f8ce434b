/** Files for browsers, sent once: who has a file already is told so. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Asset } from "../common/asset.ts";

/** For files that are named by their hash: what lies there never changes. */
export const FOR_EVER = "public, max-age=31536000, immutable";

/** For files that another version may have otherwise, so they are asked for anew each time. */
export const ASK_EACH_TIME = "no-cache";

/** @param caching FOR_EVER or ASK_EACH_TIME */
export function sendAsset(request: FastifyRequest, reply: FastifyReply, asset: Asset, caching: string): FastifyReply {
  const { headers } = request;
  reply.headers({
    "cache-control": caching,
    etag: asset.etag,
    vary: "accept-encoding",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
  });
  if (headers["if-none-match"]?.includes(asset.etag) === true) return reply.code(304).send();
  const isCompressed = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(String(headers["accept-encoding"] ?? ""));
  const gzipped = isCompressed ? asset.gzipped : null;
  if (gzipped !== null) reply.header("content-encoding", "gzip");
  return reply.type(asset.type).send(gzipped ?? asset.body);
}

/** Keeps others from having a page as part of their own, and from holding a window on it. */
export function protectPage(reply: FastifyReply, policy: string): void {
  reply.header("content-security-policy", policy);
  reply.header("cross-origin-opener-policy", "same-origin");
  reply.header("x-frame-options", "DENY");
}
