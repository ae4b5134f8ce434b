/** The certificate that commands show a server which lets only clients with one in (`server.tls.client_ca`). */
import { readFileSync } from "node:fs";
import { AltLasError, messageOf } from "../errors.ts";

/** As PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** The options that name it. */
export interface CertificateFlags {
  readonly clientCert?: string;
  readonly clientKey?: string;
}

/**
 * The certificate that the options name, or else the environment. Its key may be in the same file.
 * @returns undefined: none is named
 * @throws {AltLasError} `bad_config`: a file cannot be read, or they do not belong together
 */
export function certificateIn(
  { clientCert, clientKey }: CertificateFlags,
  { ALT_LAS_CLIENT_CERT, ALT_LAS_CLIENT_KEY }: NodeJS.ProcessEnv,
): ClientCertificate | undefined {
  // Set to nothing counts as not set.
  if (!(clientCert ?? clientKey ?? (ALT_LAS_CLIENT_CERT || ALT_LAS_CLIENT_KEY))) return undefined;
  const certFile = clientCert ?? (ALT_LAS_CLIENT_CERT || undefined);
  const keyFile = clientKey ?? (ALT_LAS_CLIENT_KEY || undefined);
  if (certFile === undefined)
    refuse(`The key ${keyFile} is for a client certificate, and none is named: --client-cert FILE does.`);
  const certificate = {
    cert: read(certFile, (why) => `The client certificate ${certFile} cannot be read: ${why}.`),
    key: read(keyFile ?? certFile, (why) => `The key ${keyFile} of the client certificate cannot be read: ${why}.`),
  };
  try {
    // Looked for here only: to load TLS takes a fifth of the time of a command that needs none.
    process.getBuiltinModule("node:tls").createSecureContext(certificate);
  } catch (error) {
    const why = messageOf(error);
    if (keyFile === undefined)
      refuse(`The client certificate ${certFile} cannot be used, with a key in the same file: ${why}.`);
    refuse(`The client certificate ${certFile} cannot be used with the key ${keyFile}: ${why}.`);
  }
  return certificate;
}

/** TLS alerts by which a server says that it wants a certificate of its clients, or another one. */
const ALERTS = /alert[ _](?:certificate|bad[ _]certificate|unknown[ _]ca)/i;
const CLOSED = /^(?:ECONNRESET|EPIPE|UND_ERR_SOCKET)$/;

/** A server, and the certificate that it was shown. */
export interface Shown {
  readonly url: string;
  /** undefined: none. */
  readonly certificate?: ClientCertificate | undefined;
  /** Whether it has answered so before: then it is no certificate that it wants when it only closes the connection. */
  readonly hasAnswered?: boolean;
}

/**
 * Says that a server has ended a connection before it answered, as it wants another certificate; null: that is not why, as far as one can tell.
 * Some clients hear of the alert, others only that the connection is closed.
 */
export function wantsCertificate({ url, certificate, hasAnswered = false }: Shown, error: unknown): string | null {
  const { code = "" } = error as NodeJS.ErrnoException;
  const isAsked = ALERTS.test(`${code} ${messageOf(error)}`);
  if (!isAsked && (hasAnswered || !CLOSED.test(code) || !url.startsWith("https:"))) return null;
  if (certificate !== undefined)
    return `The server at ${url} has closed the connection: perhaps no authority of its server.tls.client_ca has signed the client certificate.`;
  return isAsked
    ? `The server at ${url} lets only clients with a certificate in (server.tls.client_ca): name yours by --client-cert FILE and --client-key FILE.`
    : `The server at ${url} has closed the connection. If it lets only clients with a certificate in (server.tls.client_ca), name yours by --client-cert FILE and --client-key FILE.`;
}

function read(file: string, sentence: (why: string) => string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    return refuse(sentence(messageOf(error)));
  }
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}
