/** Answers requests that no route serves: which methods the path has, else which route was probably meant. */
import type { FastifyInstance } from "fastify";
import type { Config } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { distance } from "../common/mistyped.ts";
import { apiThatIsOff } from "./apis-off.ts";
import { pathOf, segmentsOf, writtenPath } from "./target.ts";

interface Route {
  /** Like `/api/v1/task/:task_id`. */
  readonly url: string;
  readonly path: RegExp;
  readonly method: string;
}

/** Longer paths are no misspelled route of ours, and comparing them would cost. */
const MAX_SEGMENTS = 8;
const MAX_SEGMENT = 40;
/** Characters in which a segment may differ from the one that was meant. */
const MAX_DISTANCE = 2;

/** How ids begin where others have routes that are not here, like OpenAI's `/v1/responses/input_tokens`: those are no ids. */
const BEGINNINGS: Readonly<Record<string, string>> = { ":response_id": "resp_" };

/**
 * Refuses requests that no route answers: 405 where the path exists with another method, else 404.
 * Call it before the routes are registered, because it learns them as they come.
 * @param basePath of the API, which is easily forgotten or said twice
 * @param apis which of those of others there are
 */
export function refuseUnknownRoutes(app: FastifyInstance, basePath: string, apis: Config["api"]): void {
  const routes: Route[] = [];
  app.addHook("onRoute", ({ url, method }) => {
    if (url === "*") return;
    const path = new RegExp(
      `^${url
        .replaceAll(".", "\\.")
        .replaceAll(/:[^/]+/g, (parameter) => `${BEGINNINGS[parameter] ?? ""}[^/]+`)
        .replace("*", ".+")}$`,
    );
    for (const name of [method].flat()) routes.push({ url, path, method: name });
  });
  app.addHook("onRequest", ({ is404, url, method, headers }, reply, done) => {
    if (!is404) return done();
    const path = pathOf(url);
    const written = writtenPath(url);
    const named = written.length > 100 ? `${written.slice(0, 99)}…` : written;
    const allowed = routes.filter((route) => route.path.test(path)).map((route) => route.method);
    if (allowed.length === 0) {
      const hint = apiThatIsOff(path, apis) ?? meantBy(path, method, routes, basePath);
      const sentence = `There is no route ${method} ${named}.`;
      throw new AltLasError("not_found", hint === undefined ? sentence : `${sentence} ${hint}`);
    }
    reply.header("allow", allowed.join(", "));
    const isPreflight = method === "OPTIONS" && headers["access-control-request-method"] !== undefined;
    const hint = isPreflight ? " Pages of other origins may call when server.cors_origins names them." : "";
    throw new AltLasError("method_not_allowed", `${named} allows ${allowed.join(", ")}, not ${method}.${hint}`);
  });
}

/** Names the route that differs least from a path: by letters, a base path that is missing or doubled or another API's, or an id that is missing. */
function meantBy(path: string, method: string, routes: readonly Route[], basePath: string): string | undefined {
  const segments = segmentsOf(path);
  if (segments.length > MAX_SEGMENTS || segments.some(({ length }) => length > MAX_SEGMENT)) return undefined;
  const base = segmentsOf(basePath);
  const rest = segments.filter((segment, index) => index >= 2 * base.length || segment !== base[index % base.length]);
  // Of a client whose base URL has the /v1 of OpenAI's API.
  const withoutV1 = segments[0] === "v1" ? [segments.slice(1)] : [];
  const forms = [segments, rest, [...base, ...rest], ...withoutV1];
  const near = routes.flatMap((route) => {
    const costs = forms.map((form) => costOf(form, segmentsOf(route.url)) + (route.method === method ? 0 : 0.5));
    const cost = Math.min(...costs);
    return cost === Infinity ? [] : [{ route, cost }];
  });
  const best = near.toSorted((a, b) => a.cost - b.cost)[0]?.route;
  return best && `Perhaps ${best.method} ${best.url.replaceAll(/:(\w+)/g, "{$1}").replace("*", "{name}")} was meant.`;
}

/** Letters in which a path differs from a route; Infinity: it is another one. */
function costOf(path: readonly string[], route: readonly string[]): number {
  const idIsMissing = path.length === route.length - 1 && isParameter(route.at(-1)!);
  if (path.length !== route.length && !idIsMissing) return Infinity;
  let cost = idIsMissing ? 1 : 0;
  for (const [index, segment] of path.entries()) {
    const wanted = route[index]!;
    if (!segment.startsWith(BEGINNINGS[wanted] ?? "")) return Infinity;
    if (isParameter(wanted)) continue;
    const letters = distance(segment.toLowerCase(), wanted);
    if (letters > MAX_DISTANCE) return Infinity;
    cost += letters;
  }
  return cost;
}

/** Whether a segment of a route stands for any, or for several. */
function isParameter(segment: string): boolean {
  return segment.startsWith(":") || segment === "*";
}
