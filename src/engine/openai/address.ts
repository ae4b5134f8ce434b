/** Addresses of servers, as they are configured. */

/** The fault of an address, as one sentence; null: none. It repeats no credentials. */
export function faultOfUrl(url: string): string | null {
  const shown = `Its address ${JSON.stringify(plainUrl(url))}`;
  if (!URL.canParse(url)) return `${shown} is not a URL; it should be like http://10.0.0.5:8000.`;
  const { protocol, username, password, search, hash } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") return `${shown} does not begin with http:// or https://.`;
  if (username !== "" || password !== "") return `${shown} carries credentials; a key belongs into engine.api_key.`;
  return search === "" && hash === "" ? null : `${shown} should end before "?" or "#".`;
}

/**
 * The address without what must not be shown and what says nothing: credentials, and the "/v1" that clients of OpenAI's protocol are
 * used to give.
 */
export function plainUrl(url: string): string {
  return url.replace(/^([^/]*\/\/)[^/]*@/, "$1").replace(/(\/v1)?\/*$/, "");
}

/** Host and port, or as much as there is of them. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host || plainUrl(url) : plainUrl(url);
}
