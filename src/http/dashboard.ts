/** The dashboard at `/`. Everybody may have its files: they show nothing before somebody has signed in, and then what the API answers. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../config/config.ts";
import { type Asset, type Assets, readAssets } from "../dashboard/assets.ts";
import { basePathOf, lacksSlash } from "./base-path.ts";
import { AltLasError } from "../errors.ts";

/** They are named by their hash, so what lies there never changes. */
const FOR_EVER = "public, max-age=31536000, immutable";

/** The page names the files of its version, so it is asked for anew each time. */
const ASK_EACH_TIME = "no-cache";

const HIDDEN = { schema: { hide: true } };

/** @param issuer what people sign in with, beside keys and passwords; null: nothing */
export function dashboardRoutes(app: FastifyInstance, { auth, server }: Config, issuer: string | null): void {
  const base = basePathOf(server);
  let reading: Promise<Assets> | null = null;
  const assets = async (): Promise<Assets> => {
    reading ??= readAssets(!auth.enabled, issuer);
    try {
      return await reading;
    } catch (error) {
      // It may be mended without a restart.
      reading = null;
      throw error;
    }
  };
  app.get("/", HIDDEN, async (request, reply) => {
    // The addresses in the page are relative.
    if (lacksSlash(request, base)) return reply.redirect(`${request.prefix}/`);
    const { page, policy } = await assets();
    reply.header("content-security-policy", policy);
    reply.header("cross-origin-opener-policy", "same-origin");
    reply.header("x-frame-options", "DENY");
    return send(request, reply, page, ASK_EACH_TIME);
  });
  // It is a page of the dashboard. A proxy may have put a path before all, and the last slash may be there or not.
  app.get("/docs/api", HIDDEN, ({ originalUrl }, reply) =>
    reply.redirect(/^[^?]*\/(?:\?|$)/.test(originalUrl) ? "../../#/api" : "../#/api"),
  );
  app.get<{ Params: { version: string; "*": string } }>("/dashboard/:version/*", HIDDEN, async (request, reply) => {
    const { version, files } = await assets();
    const { version: asked, "*": name } = request.params;
    const file = asked === version ? files.get(name) : undefined;
    if (file === undefined)
      throw new AltLasError("not_found", "The dashboard has no such file; reload the page, it may be another version.");
    return send(request, reply, file, FOR_EVER);
  });
}

function send(request: FastifyRequest, reply: FastifyReply, asset: Asset, caching: string): FastifyReply {
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
  if (isCompressed) reply.header("content-encoding", "gzip");
  return reply.type(asset.type).send(isCompressed ? asset.gzipped : asset.body);
}
