/** `GET /` and `HEAD /`: what Ollama's clients look for before anything else. Browsers get the dashboard there. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

const GREETING = "Ollama is running";
const HIDDEN = { schema: { hide: true } };

/** Answers those who do not ask for a page, in the place of the routes of `app` at `/`. */
export function greetClients(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, done) => {
    if (request.routeOptions.url !== "/" || wantsPage(request)) return done();
    greet(reply);
  });
}

/** Where there is no dashboard. */
export function greetingRoute(app: FastifyInstance): void {
  app.get("/", HIDDEN, (_request, reply) => greet(reply));
}

function greet(reply: FastifyReply): FastifyReply {
  return reply.header("vary", "accept").type("text/plain; charset=utf-8").send(GREETING);
}

function wantsPage({ headers: { accept = "" } }: FastifyRequest): boolean {
  return /\btext\/html\b|\bapplication\/xhtml\b/i.test(accept);
}
