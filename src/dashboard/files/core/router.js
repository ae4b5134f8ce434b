/**
 * Which page is shown. It stands behind the `#` of the address, so that there is one page for the server and for every proxy:
 * `#/tasks/ID?status=failed` is the page `tasks` with the rest `ID` and one filter.
 */
import { signal } from "@preact/signals";

/**
 * @typedef {object} Place
 * @property {string} page its name; empty: the first one
 * @property {string} rest what follows, decoded, like an id; empty: nothing
 * @property {URLSearchParams} query
 */

/** @param {string} hash @returns {Place} */
export function placeOf(hash) {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const [page = "", ...rest] = path.split("/");
  return { page: decoded(page), rest: rest.map(decoded).join("/"), query: new URLSearchParams(query) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = signal(placeOf(location.hash));
addEventListener("hashchange", () => (place.value = placeOf(location.hash)));

/**
 * The address of a place in the dashboard.
 * @param {string} page
 * @param {string} [rest]
 * @param {URLSearchParams | Readonly<Record<string, string>>} [query]
 */
export function href(page, rest = "", query = {}) {
  const filters = new URLSearchParams(query).toString();
  const path = rest === "" ? "" : `/${rest.split("/").map(encodeURIComponent).join("/")}`;
  return `#/${encodeURIComponent(page)}${path}${filters === "" ? "" : `?${filters}`}`;
}

/**
 * Goes there, as a link does.
 * @param {string} address what `href` gave
 * @param {{ replace?: boolean }} [options] replace: the way back does not lead over the place of now, as with a filter that is being typed
 */
export function go(address, { replace = false } = {}) {
  if (!replace) location.hash = address;
  else {
    history.replaceState(null, "", address);
    place.value = placeOf(location.hash);
  }
}
