/** The command `alt-las gpus`: asks a running server for its GPUs. Each failure is one sentence. */
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { type Config } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { type Columns, gpuPage, gpusTable } from "./gpus-table.ts";
import { type GpuDetails, type GpusAnswer } from "../http/schemas/gpus.ts";
import { wrap } from "./table.ts";
import { shown } from "../common/validation.ts";

export interface GpusOptions {
  /** Where the server is, like `http://127.0.0.1:8642`. */
  readonly url: string;
  /** undefined: none is sent, which only a server with `auth.enabled: false` is content with. */
  readonly key: string | undefined;
  /** Everything about this one; undefined: a table of all. */
  readonly gpuId: number | undefined;
  /** Print the server's answer as it is, instead of a table. */
  readonly json: boolean;
  readonly columns: Columns;
  readonly colour?: boolean;
  /** Seconds to wait for the answer. */
  readonly patience?: number;
}

const PATIENCE = 30;

/** `gpus [id]`: the text to print. @throws {AltLasError} `bad_config`: what has to be changed to get an answer */
export async function gpusCommand(options: GpusOptions): Promise<string> {
  const { gpuId, json, columns, colour = false } = options;
  const answer = await ask(options, gpuId === undefined ? "gpus" : `gpus/${gpuId}`);
  if (json) return JSON.stringify(answer, null, 2);
  const legible = withoutControls(answer);
  if (gpuId !== undefined) return gpuPage(legible as GpuDetails, columns, { colour });
  const { gpus, notes = [] } = legible as GpusAnswer;
  const said = notes.map((note) => wrap(`A GPU driver has no GPU to offer: ${note}`, columns ?? Infinity));
  return [gpusTable(gpus, columns, { colour }), ...said].join("\n\n");
}

/**
 * Where a server with this configuration listens, as seen from this machine.
 * @throws {AltLasError} `bad_config` when the configuration does not say at which port
 */
export function serverUrl({ host, port, tls }: Config["server"]): string {
  if (port === 0) refuse("server.port is 0, which means any: say with --url where the server listens.");
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `${tls.cert === undefined ? "http" : "https"}://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}

/** @throws {AltLasError} `bad_config`: the file cannot be read, or holds no key */
export function readKey(file: string): string {
  let key: string;
  try {
    key = readFileSync(file, "utf8").trim();
  } catch (error) {
    refuse(`The key file ${file} cannot be read: ${messageOf(error)}.`);
  }
  return key === "" ? refuse(`The key file ${file} is empty.`) : key;
}

async function ask({ url, key, patience = PATIENCE }: GpusOptions, path: string): Promise<unknown> {
  const base = baseOf(url);
  const headers = key === undefined ? {} : { authorization: `Bearer ${checkedKey(key)}` };
  let response: Response;
  let body: string;
  try {
    response = await fetch(new URL(`api/v1/${path}`, base), { headers, signal: AbortSignal.timeout(patience * 1000) });
    body = await response.text();
  } catch (error) {
    refuse(unanswered(url, patience, error));
  }
  const answer = parsed(body);
  if (response.ok && isOurs(answer, path)) return answer;
  refuse(refused(response.status, { url, key, answer }));
}

/** With a slash at its end, so that what follows is added to its path; the API's own path may be a part of it or not. */
function baseOf(url: string): string {
  const { protocol, username, password } = URL.parse(url) ?? { protocol: "" };
  if (username || password) refuse("The server's URL must not have a user or password; what counts is the API key.");
  if (protocol !== "http:" && protocol !== "https:") {
    refuse(`The server's URL must be like http://127.0.0.1:8642; got ${shown(url)}.`);
  }
  return `${url.replace(/\/*(api\/v1\/*)?$/, "")}/`;
}

/** @returns the key @throws {AltLasError} `bad_config`; the sentence does not have the key in it */
function checkedKey(key: string): string {
  return /^[\x21-\x7e]+$/.test(key) ? key : refuse("The API key must be printable ASCII characters without spaces.");
}

/** Certificates that this machine cannot trace to anybody it trusts; one more to trust is all they want. */
const UNTRUSTED = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Why there is no answer, from what `fetch` threw: its own message never says it, the cause does. */
function unanswered(url: string, patience: number, error: unknown): string {
  const { name, cause = error } = error as { name?: string; cause?: unknown };
  // `reason`: in plain words, what TLS errors also say in OpenSSL's own way.
  const { code = "", reason = messageOf(cause) } = cause as NodeJS.ErrnoException & { reason?: string };
  if (name === "TimeoutError")
    return `The server at ${url} has not answered within ${patience} ${patience === 1 ? "second" : "seconds"}.`;
  if (UNTRUSTED.has(code)) {
    const file = "NODE_EXTRA_CA_CERTS to the file of its certificate, or of the authority that signed it";
    return `The certificate of ${url} is not from an authority that this machine trusts (${code}); set ${file}.`;
  }
  return `There is no answer from ${url} (${reason || code}); if no server listens there, say with --url where one does.`;
}

interface Refusal {
  readonly url: string;
  readonly key: string | undefined;
  readonly answer: unknown;
}

/** Advice for an answer that is not the expected one. */
function refused(status: number, { url, key, answer }: Refusal): string {
  const { error } = (answer ?? {}) as { error?: unknown };
  if (typeof error !== "string") return `No ALT_LAS server answers at ${url} (status ${status}).`;
  if (status !== 401) return String(withoutControls(error));
  return key === undefined
    ? `The server at ${url} wants to know who is asking: set ALT_LAS_API_KEY to your API key, or give --key-file FILE.`
    : `The server at ${url} does not know the API key: set ALT_LAS_API_KEY to yours, or give --key-file FILE.`;
}

function isOurs(answer: unknown, path: string): boolean {
  if (answer === null || typeof answer !== "object") return false;
  return path === "gpus" ? "gpus" in answer && Array.isArray(answer.gpus) : "running_tasks" in answer;
}

/** undefined: not JSON. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Control characters, which a terminal obeys, and characters that turn its lines around must not come from the network. */
function withoutControls(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_key, part: unknown) =>
    typeof part === "string" ? part.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "�") : part,
  );
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}
