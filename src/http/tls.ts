import { readFileSync } from "node:fs";
import { createSecureContext, Server as TlsServer } from "node:tls";
import type { FastifyInstance } from "fastify";
import type { Config } from "../config/config.ts";
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

declare module "fastify" {
  interface FastifyInstance {
    /**
     * Reads the certificate and its key again, for the connections that are still to come.
     * @returns what became of it, in a sentence; null: there is none, or it is the same
     */
    renewCertificate(): string | null;
  }
}

/** @param inUse what the server listens with */
export function renewable(app: FastifyInstance, settings: Config["server"]["tls"], inUse: Tls | null): void {
  let now = inUse;
  app.decorate("renewCertificate", () => {
    if (now === null || !(app.server instanceof TlsServer)) return null;
    try {
      const tls = readTls(settings) ?? now;
      if (tls.cert.equals(now.cert) && tls.key.equals(now.key)) return null;
      app.server.setSecureContext(tls);
      now = tls;
      return `The certificate was read again from ${settings.cert}.`;
    } catch (error) {
      return `The certificate that was there before stays in use: ${messageOf(error)}`;
    }
  });
}

function read(name: "cert" | "key", path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new AltLasError("bad_config", `server.tls.${name} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}
