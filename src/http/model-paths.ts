/** Paths in which a model's name stands before something else: the router would take its slashes for ends of segments. */

/** A name with slashes, up to the last segment. */
const ORDER = /^((?:https?:\/\/[^/]*)?\/+api\/+v1\/+models\/+)([^?#]+?)(\/+(?:load|unload)\/*(?:[?#].*)?)$/i;

/** The target with the slashes of such a name as `%2F`. */
export function withWholeNames(target: string): string {
  if (!target.includes("/models/")) return target;
  return target.replace(
    ORDER,
    (_whole, base: string, name: string, rest: string) => base + name.replaceAll("/", "%2F") + rest,
  );
}
