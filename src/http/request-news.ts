/** Tells those who observe the core of all requests. */
import type { FastifyInstance } from "fastify";
import type { AltLasError } from "../errors.ts";
import { REQUEST_BEGAN, REQUEST_ENDED, REQUEST_REFUSED } from "../topics.ts";
import { onceClosed } from "./closing.ts";

/** Call it before other hooks are added: requests that those refuse are told, too. */
export function tellRequests(app: FastifyInstance): void {
  app.addHook("onRequest", (asked, { raw }, done) => {
    if (!REQUEST_BEGAN.isHeard && !REQUEST_ENDED.isHeard) return done();
    const { raw: request } = asked;
    const { url: route } = asked.routeOptions;
    REQUEST_BEGAN.publish({ request, route });
    onceClosed(raw, () => REQUEST_ENDED.publish({ request, route, status: raw.statusCode }));
    done();
  });
}

/** A request is refused, also one that is not even HTTP. */
export function tellRefusal({ code }: AltLasError): void {
  if (REQUEST_REFUSED.isHeard) REQUEST_REFUSED.publish({ code });
}
