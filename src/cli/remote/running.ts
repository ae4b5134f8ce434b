/** Where the server that runs on the data directory listens: started with `--port` or `--host`, it is not where the configuration says. */
import { statSync } from "node:fs";
import { isIP } from "node:net";
import { portOf } from "../../common/server-address.ts";
import { type Config, hostsOf } from "../../config/config.ts";
import { askServer } from "../../control/client.ts";
import { type ServerStatus, STATUS_ROUTE } from "../../doctor/server-status.ts";
import { type DataDir, usualDataDir } from "../data-dir.ts";
import { serverUrl } from "./client.ts";

/** Milliseconds for the answer. A server that is stopped in a debugger gives none. */
const PATIENCE = 2000;

/** null: it listens where the configuration says; or none runs there, or it does not tell. */
export async function urlElsewhere(server: Config["server"]): Promise<string | null> {
  const addresses = await addressesOf(usualDataDir()).catch(() => []);
  return addresses.some((address) => isConfigured(address, server)) ? null : (addresses[0] ?? null);
}

/** @throws {Error} whatever is wrong there: the server may be reached where the configuration says */
async function addressesOf({ path, isNamed }: DataDir): Promise<readonly string[]> {
  // The key of this user goes to the address: in a folder of somebody else, like /tmp/data, anybody could name one.
  if (!isNamed && process.getuid !== undefined && statSync(path).uid !== process.getuid()) return [];
  const status = await askServer(path, STATUS_ROUTE, undefined, AbortSignal.timeout(PATIENCE));
  return (status as ServerStatus | undefined)?.addresses ?? [];
}

function isConfigured(address: string, server: Config["server"]): boolean {
  const [host] = hostsOf(server);
  // The system knows what a name stands for, and a certificate is for the name.
  if (host !== undefined && isIP(host) === 0) return portOf(address) === server.port;
  if (host !== undefined && server.port === 0) return false;
  const url = serverUrl(server);
  return address === url || address.startsWith(`${url}/`);
}
