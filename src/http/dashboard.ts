/** The dashboard at `/`. Everybody may have its files: they show nothing before somebody has signed in, and then what the API answers. */
import type { FastifyInstance } from "fastify";
import type { Config } from "../config/config.ts";
import { type Assets, readAssets } from "../dashboard/assets.ts";
import { ASK_EACH_TIME, FOR_EVER, protectPage, sendAsset } from "./assets.ts";
import { basePathOf, lacksSlash } from "./base-path.ts";
import { AltLasError } from "../errors.ts";

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
    protectPage(reply, policy);
    return sendAsset(request, reply, page, ASK_EACH_TIME);
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
    return sendAsset(request, reply, file, FOR_EVER);
  });
}
