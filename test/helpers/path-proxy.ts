/** A proxy that serves a server below a path, as nginx, Caddy and Traefik do: it passes the path on, or takes it away. */
import { once } from "node:events";
import { createServer, request, type RequestOptions } from "node:http";
import { type AddressInfo } from "node:net";
import { type Owner } from "./server-handle.ts";

export interface PathProxyOptions {
  /** Like `/alt-las`. */
  readonly path: string;
  /** Whether it takes the path away. */
  readonly strips: boolean;
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** @param server its URL, or the path of its socket @returns where the proxy listens, with the path */
export async function startPathProxy(owner: Owner, server: string, options: PathProxyOptions): Promise<string> {
  const { path, strips, headers = {} } = options;
  const to: RequestOptions = server.startsWith("/") ? { socketPath: server } : addressOf(server);
  const proxy = createServer((asked, answer) => {
    const { method, url = "/" } = asked;
    if (!url.startsWith(path)) return void answer.writeHead(404).end("The proxy has nothing there.");
    const rest = strips ? url.slice(path.length).replace(/^(?!\/)/, "/") : url;
    const passed = request({ ...to, method, path: rest, headers: { ...asked.headers, ...headers } }, (given) => {
      answer.writeHead(given.statusCode!, given.headers);
      answer.flushHeaders();
      given.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  owner.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${path}`;
}

function addressOf(url: string): RequestOptions {
  const { hostname, port } = new URL(url);
  return { host: hostname, port };
}
