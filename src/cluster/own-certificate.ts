/** Whether the other servers of a cluster take the certificate that this one shows them where they want one of every client (`server.tls.client_ca`). */
import { X509Certificate } from "node:crypto";
import type { Logger } from "pino";
import { messageOf } from "../errors.ts";
import type { Tls } from "../http/tls.ts";

/** The purpose of a client, as certificates that name their purposes have it (RFC 5280, section 4.2.1.12). */
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Says in the log why they refuse it, where they do; it never fails. @param read null: this server shows none */
export function checkOwnCertificate(read: () => Pick<Tls, "cert" | "ca"> | null, log: Pick<Logger, "error">): void {
  try {
    const tls = read();
    if (tls?.ca === undefined) return;
    check(tls.cert.toString(), tls.ca, log);
  } catch (error) {
    log.error(`Whether other servers of this cluster take server.tls.cert cannot be said: ${messageOf(error)}`);
  }
}

function check(cert: string, authorities: NonNullable<Tls["ca"]>, log: Pick<Logger, "error">): void {
  const [own, ...between] = certificatesIn(cert);
  // TLS takes it in other forms, too.
  if (own === undefined) return;
  const { keyUsage } = own;
  if (keyUsage !== undefined && !keyUsage.includes(CLIENT_AUTH))
    log.error(
      "The certificate of server.tls.cert is not for clients (clientAuth): other servers of this cluster that have server.tls.client_ca refuse what this one passes on to them.",
    );
  else if (!isSigned(own, between, authorities.flatMap(certificatesIn)))
    log.error(
      "The certificate of server.tls.cert is signed by no authority of server.tls.client_ca: other servers of this cluster with the same authorities refuse what this one passes on to them.",
    );
}

function isSigned(own: X509Certificate, between: X509Certificate[], authorities: readonly X509Certificate[]): boolean {
  const hasSigned = (one: X509Certificate): boolean => own.checkIssued(one) && own.verify(one.publicKey);
  if (authorities.some((one) => one.fingerprint256 === own.fingerprint256 || hasSigned(one))) return true;
  const next = between.findIndex(hasSigned);
  return next >= 0 && isSigned(between[next]!, between.toSpliced(next, 1), authorities);
}

function certificatesIn(text: string): X509Certificate[] {
  return Array.from(text.matchAll(CERTIFICATE), ([pem]) => new X509Certificate(pem));
}
