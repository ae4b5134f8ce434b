/** Commands ask a running server over HTTP, as any other client does. Each failure is one sentence. */
import { type Language, languageOfTerminal } from "../../words/language.ts";
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { resolve } from "node:path";
import type { Dispatcher } from "undici";
import type { Config } from "../../config/config.ts";
import { AltLasError, type ErrorCode, ERRORS, messageOf } from "../../errors.ts";
import { isObject } from "../../common/json-values.ts";
import { shown } from "../../common/validation.ts";
import { type ClientCertificate, wantsCertificate } from "../../common/client-certificate.ts";
import { socketIn, urlOfServer } from "../../common/server-address.ts";
import { legible } from "../../common/legible.ts";
import { START } from "../../common/paste.ts";

/** A running server, and who asks it. */
export interface Remote {
  /** Where it is, like `http://127.0.0.1:8642`. */
  readonly url: string;
  /** undefined: none is sent, which only a server with `auth.enabled: false` is content with. */
  readonly key: string | undefined;
  /** Shown to a server that wants one of its clients; absent: there is none. */
  readonly certificate?: ClientCertificate;
  /** Of the sentences in its answers; absent: the terminal's. */
  readonly language?: Language;
  /** Seconds to wait for an answer. */
  readonly patience?: number;
  /** Ends whatever is asked. */
  readonly signal?: AbortSignal;
}

/** The parts of a request beside its path. */
export interface Question {
  readonly method?: "GET" | "POST";
  /** Sent as JSON; absent: no body. */
  readonly body?: object;
  /** Ends the request. */
  readonly signal?: AbortSignal;
  /** Called with the headers of a stream that begins. */
  readonly onStart?: (headers: Headers) => void;
}

/** One of a stream of server-sent events. */
export interface ServerEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

const PATIENCE = 30;

const isText = (value: unknown): boolean => typeof value === "string";

/** Fields by which answers of an ALT_LAS server are known. */
const FIELDS = {
  gpus: Array.isArray,
  callers: Array.isArray,
  rows: Array.isArray,
  machines: Array.isArray,
  join: isText,
  credentials: isText,
  running_tasks: Array.isArray,
  tasks: isObject,
  task_id: isText,
  status: isText,
} as const satisfies Record<string, (value: unknown) => boolean>;
type Field = keyof typeof FIELDS;

/**
 * Where a server with this configuration listens, as seen from this machine.
 * @throws {AltLasError} `bad_config` when the configuration does not say at which port
 */
export function serverUrl({ host, port, tls, socket }: Config["server"]): string {
  const [first] = [host].flat();
  if (first === undefined) return `unix:${resolve(socket!)}`;
  if (port === 0) refuse("server.port is 0, which means any: say with --url where the server listens.");
  const reachable = first === "0.0.0.0" || first === "::" ? "127.0.0.1" : first;
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

/**
 * The answer to a request.
 * @param path below `/api/v1/`, with its query
 * @param field one that the answer has if an ALT_LAS server gave it
 * @throws {AltLasError} the server's own refusal with its code; `bad_config`: what has to be changed to get an answer
 */
export async function ask(remote: Remote, path: string, field: Field, question: Question = {}): Promise<object> {
  const { patience = PATIENCE } = remote;
  const ended = question.signal ?? remote.signal;
  const limit = AbortSignal.timeout(patience * 1000);
  const signal = ended === undefined ? limit : AbortSignal.any([limit, ended]);
  let response: Response;
  let body: string;
  try {
    response = await send(remote, path, { ...question, signal });
    body = await response.text();
  } catch (error) {
    if (error instanceof AltLasError || ended?.aborted) throw error;
    refuse(unanswered(remote.url, patience, error));
  }
  const answer = parsed(body);
  if (response.ok && isObject(answer) && FIELDS[field](answer[field])) return answer;
  throw refusal(response.status, remote, answer);
}

/**
 * The events of a stream, as they come; it ends when the server ends it.
 * @throws as `ask`, and what `signal` was aborted with
 */
export async function* eventsFrom(remote: Remote, path: string, question: Question): AsyncGenerator<ServerEvent> {
  const { createParser } = await import("eventsource-parser");
  const come: ServerEvent[] = [];
  const parser = createParser({
    onEvent: ({ event = "message", id, data }) => come.push({ event, id, data: parsed(data) }),
  });
  try {
    const response = await send(remote, path, question);
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    // After its final event a stream is empty.
    if (response.status === 204) return;
    if (!response.ok || !isStream || response.body === null)
      throw refusal(response.status, remote, parsed(await response.text()));
    question.onStart?.(response.headers);
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      parser.feed(decoder.decode(chunk, { stream: true }));
      yield* come.splice(0);
    }
  } catch (error) {
    if (error instanceof AltLasError || question.signal?.aborted) throw error;
    refuse(unanswered(remote.url, PATIENCE, error));
  }
}

/** The certificates that a server has answered to, or its address where it was shown none. */
const answered = new Set<ClientCertificate | string>();

async function send(
  { url, key, certificate, language = languageOfTerminal(process.env) }: Remote,
  path: string,
  { method = "GET", body, signal }: Question,
): Promise<Response> {
  const base = baseOf(url);
  const headers = {
    "accept-language": language,
    ...(key !== undefined && { authorization: `Bearer ${checkedKey(key)}` }),
    ...(body !== undefined && { "content-type": "application/json" }),
  };
  const dispatcher = await dispatcherFor(socketIn(url), certificate);
  const asker = certificate ?? url;
  try {
    const response = await fetch(new URL(`api/v1/${path}`, base), {
      method,
      headers,
      ...(dispatcher !== null && { dispatcher }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal !== undefined && { signal }),
    });
    answered.add(asker);
    return response;
  } catch (error) {
    const { cause = error } = error as Error;
    const wanted = wantsCertificate({ url, certificate, hasAnswered: answered.has(asker) }, cause);
    throw wanted === null ? error : new AltLasError("bad_config", wanted, { cause: error });
  }
}

/** Those that show a certificate, whose connections serve for the next requests. */
const dispatchers = new WeakMap<ClientCertificate, Dispatcher>();

/** For a socket, which only programs of this machine reach, or for a certificate; null: what `fetch` has. */
async function dispatcherFor(
  socketPath: string | null,
  certificate: ClientCertificate | undefined,
): Promise<Dispatcher | null> {
  if (socketPath === null && certificate === undefined) return null;
  const { Agent } = await import("undici");
  if (socketPath !== null) return new Agent({ connect: { socketPath } });
  const made = dispatchers.get(certificate!) ?? new Agent({ connect: { ...certificate! } });
  dispatchers.set(certificate!, made);
  return made;
}

/** With a slash at its end, so that what follows is added to its path; the API's own path may be a part of it or not. */
function baseOf(address: string): string {
  const url = urlOfServer(address);
  const { protocol, username, password } = URL.parse(url) ?? { protocol: "" };
  if (username || password) refuse("The server's URL must not have a user or password; what counts is the API key.");
  if (protocol !== "http:" && protocol !== "https:") {
    refuse(`The server's URL must be like http://127.0.0.1:8642 or unix:/run/alt-las.sock; got ${shown(url)}.`);
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
  const advice = `if no server listens there, start one with ${START}, or say with --url where one does`;
  return `There is no answer from ${url} (${reason || code}); ${advice}.`;
}

/** The error for an answer that is not the expected one, with advice. */
function refusal(status: number, { url, key }: Remote, answer: unknown): AltLasError {
  const { error, code } = (answer ?? {}) as { error?: unknown; code?: unknown };
  if (typeof error !== "string")
    return new AltLasError("bad_config", `No ALT_LAS server answers at ${url} (status ${status}).`);
  const known = typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "bad_config";
  const said = String(legible(error));
  if (status !== 401) return new AltLasError(known, said);
  const advice =
    key === undefined
      ? `The server at ${url} wants to know who is asking: set ALT_LAS_API_KEY to your API key, or give --key-file FILE.`
      : `The server at ${url} says: ${said} Set ALT_LAS_API_KEY to yours, or give --key-file FILE.`;
  return new AltLasError(known, advice);
}

/** undefined: not JSON. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}
