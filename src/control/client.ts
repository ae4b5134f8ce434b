/** How a command asks the server that runs on a data directory. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { http } from "../common/node-http.ts";
import { foreignOwner } from "../common/data-folder.ts";
import { AltLasError, ERRORS, type ErrorCode, messageOf } from "../errors.ts";
import { nameSocket, type SocketName, SOCKET_NAME } from "./socket.ts";

/** The system's codes for a socket behind which nobody is. */
const NOBODY: ReadonlySet<string | undefined> = new Set(["ENOENT", "ECONNREFUSED"]);

/**
 * Asks, and waits for the answer however long it takes.
 * @param route like "POST /backup"
 * @param signal ends the waiting
 * @returns what the server answered; undefined: no server runs on this data directory
 * @throws {AltLasError} what the server refused with; `bad_config` when the socket cannot be used
 */
export async function askServer(
  dataDir: string,
  route: `POST /${string}`,
  body?: object,
  signal?: AbortSignal,
): Promise<unknown> {
  const answer = await openAnswer(dataDir, route, body, signal);
  return answer === undefined ? undefined : json(answer);
}

/**
 * As `askServer`, for an answer of many bytes. A reader has to take them all; a cut answer ends it with an error.
 * @returns undefined: no server runs on this data directory
 */
export async function openAnswer(
  dataDir: string,
  route: `POST /${string}`,
  body?: object,
  signal?: AbortSignal,
): Promise<IncomingMessage | undefined> {
  let name: SocketName | undefined;
  try {
    name = nameSocket(dataDir);
    const answer = await sendRequest(name.path, route, body, signal);
    if (answer.statusCode === 200) return answer;
    throw refusalOf(await json(answer));
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    if (NOBODY.has((error as NodeJS.ErrnoException).code)) return undefined;
    const sentence = `The server cannot be asked through ${SOCKET_NAME}: ${messageOf(error)}.`;
    throw new AltLasError("bad_config", foreignOwner(dataDir, error) ?? sentence, { cause: error });
  } finally {
    name?.close();
  }
}

async function sendRequest(
  socketPath: string,
  route: string,
  body: object | undefined,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const [method = "", path = ""] = route.split(" ");
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const sent = http.request({ socketPath, method, path, headers, agent: false, signal });
  sent.end(text);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return answer;
}

function refusalOf(answer: unknown): AltLasError {
  const { error, code } = answer as { readonly error?: unknown; readonly code?: unknown };
  const known = typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "internal_error";
  return new AltLasError(known, String(error));
}
