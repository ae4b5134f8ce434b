/** The routes of a server that its model can be used by. */
import type { Capability, Request } from "../../request.ts";

export type Route = Request["kind"];

/** All of them, in the order in which they are tried. */
export const ROUTES = ["completion", "chat", "embedding"] as const satisfies readonly Route[];

/** The words about a server without it, behind the server's name. */
const LACKS: Readonly<Record<Route, string>> = {
  completion: "cannot continue a text (POST /v1/completions)",
  chat: "cannot answer a chat (POST /v1/chat/completions)",
  embedding: "cannot make embeddings (POST /v1/embeddings)",
};

/** Statuses that say that there is no such route, or not for this model. */
export const MISSING: ReadonlySet<number | null> = new Set([404, 405, 501]);

export class Routes {
  /** Whether each of them has ever answered. One that had no room when it was tried has not. */
  readonly #answered = new Map<Route, boolean>();

  get isEmpty(): boolean {
    return this.#answered.size === 0;
  }

  /** The first of them, which the server is proved by. */
  get first(): Route {
    return this.#answered.keys().next().value ?? "completion";
  }

  /** In the words of the API. @param raw whether a text that is to be continued is no user's message */
  capabilities(raw: boolean): readonly Capability[] {
    const can = ROUTES.filter((route) => this.has(route) || (route === "completion" && !raw && this.has("chat")));
    return can.toSorted();
  }

  has(route: Route): boolean {
    return this.#answered.has(route);
  }

  /** It is there, or is said to be. */
  add(route: Route, hasAnswered: boolean): void {
    if (hasAnswered || !this.has(route)) this.#answered.set(route, hasAnswered);
  }

  /** Whether a status means that a route is not there after all. One that has answered is there, and something else is wrong. */
  lacks(route: Route, status: number | null): boolean {
    const isMissing = MISSING.has(status) && this.#answered.get(route) !== true;
    if (isMissing) this.#answered.delete(route);
    return isMissing;
  }
}

/** Part of a sentence, behind the server's name. */
export function cannot(route: Route): string {
  return LACKS[route];
}
