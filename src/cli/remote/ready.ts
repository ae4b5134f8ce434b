/** `alt-las ready`: whether a server is ready, for containers, scripts and people. */
import { AltLasError, messageOf } from "../../errors.ts";
import { type Shown, wantsCertificate } from "../../common/client-certificate.ts";
import { plainAnswer } from "../../common/plain-answer.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import { legible } from "../../common/legible.ts";

/**
 * Asks a server's `/readyz`, without a key.
 * @param remote where it is, and the certificate that it is shown
 * @returns the sentence that says so
 * @throws {AltLasError} `not_ready`: it is not ready, and why; `bad_config`: no ALT_LAS server answers there
 */
export async function readyCommand(remote: Shown): Promise<string> {
  const { url } = remote;
  const { status, reason } = await readinessAt(remote);
  if (status === "ready") return `The server at ${url} is ready.`;
  throw new AltLasError("not_ready", `The server at ${url} is not ready: ${String(legible(reason))}`);
}

async function readinessAt({ url, certificate }: Shown): Promise<Record<string, unknown>> {
  let body: string;
  try {
    body = await plainAnswer(url, "readyz", certificate);
  } catch (error) {
    const wanted = wantsCertificate({ url, certificate }, error);
    if (wanted !== null) throw new AltLasError("bad_config", wanted, { cause: error });
    throw new AltLasError("bad_config", `No ALT_LAS server answers at ${url}: ${messageOf(error)}.`, { cause: error });
  }
  const answer = valueIn(body);
  if (isObject(answer) && (answer["status"] === "ready" || answer["status"] === "not ready")) return answer;
  throw new AltLasError("bad_config", `No ALT_LAS server answers at ${url}.`);
}
