/** Targets of requests as the router reads them: a host in them says nothing, nor do doubled slashes, nor one at the end. */

/** Up to the path of RFC 9112's absolute form. */
const ORIGIN = /^https?:\/\/[^/?#]*/i;

/** The beginning of a target that is in the absolute form, like `http://example.com`; empty: it is not. */
export function originOf(target: string): string {
  return ORIGIN.exec(target)?.[0] ?? "";
}

/** A target without the host that it may have, still with its query. */
export function withoutHost(target: string): string {
  return target.startsWith("/") ? target : target.replace(ORIGIN, "");
}

/** The path of a target, as it was written. */
export function writtenPath(target: string): string {
  const [path = ""] = withoutHost(target).split(/[?#]/, 1);
  return `/${segmentsOf(path).join("/")}`;
}

/** The path of a target by which the router finds its route: what was percent-encoded without need is plain. */
export function pathOf(target: string): string {
  const path = writtenPath(target);
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

/** The parts between the slashes of a path. */
export function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}
