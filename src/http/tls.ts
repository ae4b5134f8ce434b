import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Config } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";

export interface Tls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * The certificate and key of `server.tls`; null when HTTPS is not configured.
 * @throws {AltLasError} `bad_config`: a file cannot be read, is not PEM, or the key is not the certificate's
 */
export function readTls({ cert, key }: Config["server"]["tls"]): Tls | null {
  if (cert === undefined || key === undefined) return null;
  const tls = { cert: read("cert", cert), key: read("key", key) };
  try {
    createSecureContext(tls);
  } catch (error) {
    const sentence = `server.tls: ${cert} and ${key} cannot be used together: ${messageOf(error)}.`;
    throw new AltLasError("bad_config", sentence, { cause: error });
  }
  return tls;
}

function read(name: "cert" | "key", path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new AltLasError("bad_config", `server.tls.${name} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}
