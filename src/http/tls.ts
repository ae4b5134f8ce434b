import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, Server as TlsServer } from "node:tls";
import type { FastifyInstance } from "fastify";
import type { Config } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { type ClientChecks, logRefusedCertificates, readClientChecks } from "./client-certificates.ts";

/** TLS 1.2 with forward secrecy and AEAD ciphers, and TLS 1.3 (RFC 9325, section 4.2); Node's own list has more. */
const MODERN = {
  minVersion: "TLSv1.2",
  ciphers: [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ].join(":"),
} as const;

export interface Tls extends Partial<ClientChecks> {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * The certificate and key of `server.tls`; null when HTTPS is not configured.
 * @throws {AltLasError} `bad_config`: a file cannot be read, is not PEM, or the key is not the certificate's
 */
export function readTls({ cert, key, client_ca }: Config["server"]["tls"]): Tls | null {
  if (cert === undefined || key === undefined) return null;
  const checks = client_ca === undefined ? {} : readClientChecks(client_ca);
  const tls = { ...MODERN, cert: read("cert", cert), key: read("key", key), ...checks };
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
    /** Why a certificate that is there now was not taken up, in words for everybody; null: none was refused. */
    certificateTrouble(): string | null;
    /** The certificate for connections that begin now, and its key; null: HTTPS is not configured. */
    certificateInUse(): Pick<Tls, "cert" | "key"> | null;
  }
}

export interface Renewed {
  readonly settings: Config["server"]["tls"];
  /** The TLS settings that the server listens with. */
  readonly inUse: Tls | null;
  readonly log: Logger;
}

export function renewable(app: FastifyInstance, { settings, inUse, log }: Renewed): void {
  if (inUse?.requestCert) logRefusedCertificates(app.server, log);
  let now = inUse;
  let trouble: string | null = null;
  app.decorate("certificateTrouble", () => trouble);
  app.decorate("certificateInUse", () => now);
  app.decorate("renewCertificate", () => {
    if (now === null || !(app.server instanceof TlsServer)) return null;
    try {
      const tls = readTls(settings) ?? now;
      trouble = null;
      if (tls.cert.equals(now.cert) && tls.key.equals(now.key) && isSameText(tls.ca, now.ca)) return null;
      app.server.setSecureContext(tls);
      // Else a client could go on with a session that its certificate was checked for by the authorities before.
      if (!isSameText(tls.ca, now.ca)) app.server.setTicketKeys(randomBytes(48));
      now = tls;
      return `The certificate was read again from ${settings.cert}.`;
    } catch (error) {
      trouble = "A new certificate cannot be used, and the one before stays in use; the log says why.";
      return `The certificate that was there before stays in use: ${messageOf(error)}`;
    }
  });
}

function isSameText(one: readonly string[] = [], other: readonly string[] = []): boolean {
  return one.join("\n") === other.join("\n");
}

function read(name: "cert" | "key", path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new AltLasError("bad_config", `server.tls.${name} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}
