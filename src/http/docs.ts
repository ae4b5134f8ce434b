/** The documentation at `/docs/`, for everybody, as the dashboard's files are: it is the same for all, and tells nothing of this server. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { TYPES } from "../common/asset.ts";
import type { Site } from "../docs/site.ts";
import { AltLasError } from "../errors.ts";
import { ASK_EACH_TIME, protectPage, sendAsset } from "./assets.ts";

const HIDDEN = { schema: { hide: true } };

/** Everything from this server, nothing else, in no frame; no text becomes a script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** A drawing that is opened by itself is a document: it may have styles, and nothing else. */
const DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'";

export function docsRoutes(app: FastifyInstance): void {
  let reading: Promise<Site> | null = null;
  const site = async (): Promise<Site> => {
    // The reader of Markdown is loaded with the first page that somebody asks for.
    reading ??= import("../docs/site.ts").then(({ readSite }) => readSite());
    try {
      return await reading;
    } catch (error) {
      // It may be mended without a restart.
      reading = null;
      throw error;
    }
  };
  const send = async (address: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const asset = await (await site()).get(address);
    if (asset === null)
      throw new AltLasError(
        "not_found",
        `The documentation has no page ${JSON.stringify(address)}; /docs/ lists them.`,
      );
    protectPage(reply, asset.type === TYPES[".svg"] ? DRAWING_POLICY : POLICY);
    return sendAsset(request, reply, asset, ASK_EACH_TIME);
  };
  // The addresses in a page are relative, so the last slash has to be there.
  app.get("/docs", HIDDEN, (request, reply) =>
    /^[^?]*\/(?:\?|$)/.test(request.originalUrl) ? send("", request, reply) : reply.redirect(`${request.prefix}/docs/`),
  );
  app.get<{ Params: { "*": string } }>("/docs/*", HIDDEN, (request, reply) =>
    send(request.params["*"], request, reply),
  );
}
