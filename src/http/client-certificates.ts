/**
 * Clients that have to show a certificate (`server.tls.client_ca`) before anything of theirs is read. It is a gate, and names nobody: what they
 * may do here, their credentials say.
 */
import type { Server } from "node:net";
import type { TLSSocket } from "node:tls";
import { readAuthorities } from "../common/own-authority.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { LineBudget } from "../log/line-budget.ts";
import type { Logger } from "../log/log.ts";

/** Lines in a minute; what comes then is only counted. */
const MAX_LINES = 20;

/** Settings by which a TLS server checks the certificates of its clients. */
export interface ClientChecks {
  readonly ca: string[];
  readonly requestCert: true;
  readonly rejectUnauthorized: true;
}

/** @throws {AltLasError} `bad_config`: the file cannot be read, or has no certificate */
export function readClientChecks(clientCa: string): ClientChecks {
  try {
    return { ca: [...readAuthorities(clientCa)], requestCert: true, rejectUnauthorized: true };
  } catch (error) {
    throw new AltLasError("bad_config", `server.tls.client_ca: ${messageOf(error)}`, { cause: error });
  }
}

/** Has the log tell of clients that were sent away by their certificates. */
export function logRefusedCertificates(server: Server, log: Logger): void {
  const budget = new LineBudget({ lines: MAX_LINES, now: () => performance.now() });
  let unsaid = 0;
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    const fault = faultOf(error, socket);
    if (fault === null) return;
    if (!budget.take()) {
      unsaid++;
      return;
    }
    const address = socket.remoteAddress ?? "";
    log.warn({ address, fault, ...(unsaid > 0 && { unsaid }) }, "client certificate refused");
    unsaid = 0;
  });
}

/** null: its certificate was not what was wrong. */
function faultOf({ code }: NodeJS.ErrnoException, { authorizationError }: TLSSocket): string | null {
  if (authorizationError) return String(authorizationError);
  return code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" ? "it has none" : null;
}
