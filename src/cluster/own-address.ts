/** Where the other servers of a cluster reach this one. */
import { hostname } from "node:os";
import { type Config, hostsOf } from "../config/config.ts";
import { AltLasError } from "../errors.ts";

/**
 * @param addresses on which it listens
 * @throws {AltLasError} `bad_config`: it listens on no address that others could reach
 */
export function ownAddress(
  { cluster, server }: Pick<Config, "cluster" | "server">,
  addresses: readonly string[],
): string {
  if (cluster.address !== undefined) return new URL(cluster.address).origin;
  const first = addresses.find((address) => address.startsWith("http"));
  if (first === undefined)
    throw new AltLasError("bad_config", "cluster.address is needed: this server listens on a Unix socket alone.");
  const { origin, protocol, port } = new URL(first);
  const isEverywhere = hostsOf(server).some((host) => host === "0.0.0.0" || host === "::");
  return isEverywhere ? `${protocol}//${hostname()}:${port}` : origin;
}
