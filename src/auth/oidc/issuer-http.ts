/** How the issuer is asked: through the proxies of the environment, with no redirect, no wait without end, and no answer without end. */
import { EnvHttpProxyAgent, type RequestInit, fetch } from "undici";
import { codeOf, SAID_OF } from "../../common/network-words.ts";
import { certificates } from "../../common/web.ts";
import { messageOf } from "../../errors.ts";

/** Milliseconds for a connection, for the head of an answer, and between two parts of its body. */
const PATIENCE = 5000;
/** Milliseconds for all of it. */
const TOGETHER = 10_000;
/** Bytes of an answer, as it comes and after it was unpacked: a small one may be packed from a very large one. */
const MOST = 1024 * 1024;

/** @throws {Error} with a sentence for the operator */
export async function askIssuer(url: string, init: RequestInit = {}): Promise<Response> {
  const { host, protocol } = new URL(url);
  await using agent = new Closing(protocol === "https:");
  try {
    const answer = await fetch(url, {
      ...init,
      redirect: "manual",
      dispatcher: agent.dispatcher,
      signal: AbortSignal.timeout(TOGETHER),
    });
    // As a whole: the agent ends with this call.
    const body = await bodyOf(answer);
    const headers = Object.fromEntries(answer.headers);
    return new Response(body.byteLength === 0 ? null : body, { status: answer.status, headers });
  } catch (error) {
    const { cause } = error as Error;
    const code = cause instanceof Error ? codeOf(cause) : "";
    const words = SAID_OF[code] ?? messageOf(cause ?? error).replace(/\.$/, "");
    throw new Error(`${host} could not be asked: ${words}.`, { cause: error });
  }
}

/** @throws {Error} it is too large */
async function bodyOf({ body }: { readonly body: AsyncIterable<Uint8Array> | null }): Promise<Buffer<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.byteLength;
    if (bytes > MOST) throw new Error(`its answer has more than ${MOST} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

class Closing implements AsyncDisposable {
  readonly dispatcher: EnvHttpProxyAgent;

  constructor(isEncrypted: boolean) {
    const tls = isEncrypted && { timeout: PATIENCE, ca: certificates(null) };
    this.dispatcher = new EnvHttpProxyAgent({
      connect: { timeout: PATIENCE, ...tls },
      ...(tls && { requestTls: tls, proxyTls: tls }),
      headersTimeout: PATIENCE,
      bodyTimeout: PATIENCE,
      maxResponseSize: MOST,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispatcher.destroy();
  }
}

/** The JSON of an address. @throws {Error} with a sentence for the operator */
export async function documentAt(url: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await askIssuer(url, { headers: { accept: "application/json" } });
  if (answer.status !== 200) throw new Error(`${url} answers ${answer.status}.`);
  const document: unknown = await answer.json().catch(() => null);
  if (document === null || typeof document !== "object") throw new Error(`${url} answers with no JSON object.`);
  return document as Readonly<Record<string, unknown>>;
}
