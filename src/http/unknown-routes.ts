/** Answers requests that no route serves: which methods the path has, else which route was probably meant. */
import { type FastifyInstance } from "fastify";
import { AltLasError } from "../errors.ts";
import { distance } from "../common/mistyped.ts";
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

/**
 * Refuses requests that no route answers: 405 where the path exists with another method, else 404.
 * Call it before the routes are registered, because it learns them as they come.
 * @param basePath of the API, which is easily forgotten or said twice
 */
export function refuseUnknownRoutes(app: FastifyInstance, basePath: string): void {
  const routes: Route[] = [];
  app.addHook("onRoute", ({ url, method }) => {
    if (url === "*") return;
    const path = new RegExp(
      `^${url
        .replaceAll(".", "\\.")
        .replaceAll(/:[^/]+/g, "[^/]+")
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
    if (allowed.length === 0) throw notFound(method, named, meantBy(path, method, routes, basePath));
    reply.header("allow", allowed.join(", "));
    const isPreflight = method === "OPTIONS" && headers["access-control-request-method"] !== undefined;
    const hint = isPreflight ? " Pages of other origins may call when server.cors_origins names them." : "";
    throw new AltLasError("method_not_allowed", `${named} allows ${allowed.join(", ")}, not ${method}.${hint}`);
  });
}

function notFound(method: string, path: string, meant: string | undefined): AltLasError {
  const hint = meant === undefined ? "" : ` Perhaps ${meant} was meant.`;
  return new AltLasError("not_found", `There is no route ${method} ${path}.${hint}`);
}

/** The route that differs least from a path: by letters, a base path that is missing or doubled, or an id that is missing. */
function meantBy(path: string, method: string, routes: readonly Route[], basePath: string): string | undefined {
  const segments = segmentsOf(path);
  if (segments.length > MAX_SEGMENTS || segments.some(({ length }) => length > MAX_SEGMENT)) return undefined;
  const base = segmentsOf(basePath);
  const rest = segments.filter((segment, index) => index >= 2 * base.length || segment !== base[index % base.length]);
  const forms = [segments, rest, [...base, ...rest]];
  const near = routes.flatMap((route) => {
    const costs = forms.map((form) => costOf(form, segmentsOf(route.url)) + (route.method === method ? 0 : 0.5));
    const cost = Math.min(...costs);
    return cost === Infinity ? [] : [{ route, cost }];
  });
  const best = near.toSorted((a, b) => a.cost - b.cost)[0]?.route;
  return best && `${best.method} ${best.url.replaceAll(/:(\w+)/g, "{$1}").replace("*", "{name}")}`;
}

/** Letters in which a path differs from a route; Infinity: it is another one. */
function costOf(path: readonly string[], route: readonly string[]): number {
  const idIsMissing = path.length === route.length - 1 && isParameter(route.at(-1)!);
  if (path.length !== route.length && !idIsMissing) return Infinity;
  let cost = idIsMissing ? 1 : 0;
  for (const [index, segment] of path.entries()) {
    const wanted = route[index]!;
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
