/** Puts TLS before a server that has none. */
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { pipeline } from "node:stream";
import { createServer } from "node:tls";
import type { Certified } from "./certificate.ts";
import type { Owner } from "./server-handle.ts";

/** @param port of the server on this machine @returns where it can be reached, like `https://localhost:1234` */
export async function encrypted(owner: Owner, port: number, { cert, key }: Certified): Promise<string> {
  const server = createServer({ cert, key }, (socket) => {
    const behind = connect(port, "127.0.0.1");
    pipeline(socket, behind, socket, () => {});
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  owner.after(() => void server.close());
  return `https://localhost:${(server.address() as AddressInfo).port}`;
}
