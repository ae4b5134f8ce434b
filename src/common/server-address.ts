/** How a server's address is written: a URL, or `unix:/run/alt-las.sock` for a socket. */

/** The path of a socket; null: the address is none. */
export function socketIn(address: string): string | null {
  return /^unix:(?:\/\/(?=\/))?(.+)$/.exec(address)?.[1] ?? null;
}

/** A URL by which requests name the server; over a socket its host is nobody's. */
export function urlOfServer(address: string): string {
  return socketIn(address) === null ? address : "http://localhost";
}

/** The port of a URL; null: the address is a socket. */
export function portOf(address: string): number | null {
  if (socketIn(address) !== null) return null;
  const { port, protocol } = new URL(address);
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}
