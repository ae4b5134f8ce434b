/** What tests of batches of files share: lines, and calls of /v1/batches. */
import assert from "node:assert/strict";
import { type BatchFileView } from "../../src/http/schemas/batch-files.ts";
import { call, refusalOf, upload, type FileRefusal, type User } from "./files.ts";
import { type LocalServer } from "./local-server.ts";

/** One line of a result. */
export interface ResultLine {
  readonly id: string;
  readonly custom_id: string | null;
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: ResultBody } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface ResultBody {
  readonly object?: string;
  readonly data?: readonly object[];
  readonly choices?: readonly { readonly message?: { readonly content: string }; readonly text?: string }[];
  readonly error?: { readonly message: string; readonly code: string; readonly param: string | null };
}

export const CHAT = "/v1/chat/completions";

/** A line that asks for a short answer. */
export function chatLine(customId: unknown, fields: object = {}): object {
  const body = { messages: [{ role: "user", content: `say ${String(customId)}` }], max_tokens: 3, ...fields };
  return { custom_id: customId, method: "POST", url: CHAT, body };
}

export function linesText(lines: readonly (object | string)[]): string {
  return lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");
}

/** Calls /v1/batches. */
export function batchCall(server: LocalServer, user: User, path: string, init: RequestInit = {}): Promise<Response> {
  return call(server, user, `/../batches${path}`, init);
}

async function accepted<Body>(response: Response): Promise<Body> {
  const body: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body as Body;
}

export function post(body: object): RequestInit {
  return { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
}

/** Uploads lines, and makes a batch of them. */
export async function makeBatch(
  server: LocalServer,
  user: User,
  lines: readonly (object | string)[],
  fields: object = {},
): Promise<BatchFileView> {
  const { id } = await upload(server, user, { content: linesText(lines) });
  const body = { input_file_id: id, endpoint: CHAT, completion_window: "24h", ...fields };
  return accepted(await batchCall(server, user, "", post(body)));
}

export async function batchNow(server: LocalServer, user: User, id: string): Promise<BatchFileView> {
  return accepted(await batchCall(server, user, `/${id}`));
}

/** A batch once its end is written. */
export async function endedBatch(server: LocalServer, user: User, id: string): Promise<BatchFileView> {
  const uuid = id.slice("batch_".length);
  const isEnd = /^batch of a file (ended|refused)$/;
  await server.logged(({ msg, ...line }) => isEnd.test(msg) && String(line["batch"]).replaceAll("-", "") === uuid);
  return batchNow(server, user, id);
}

export async function cancelBatch(server: LocalServer, user: User, id: string): Promise<BatchFileView> {
  return accepted(await batchCall(server, user, `/${id}/cancel`, { method: "POST" }));
}

/** The lines of a result. */
export async function resultsOf(server: LocalServer, user: User, file: string | null): Promise<readonly ResultLine[]> {
  assert.notEqual(file, null);
  const response = await call(server, user, `/${file}/content`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ResultLine);
}

export async function refusedBatch(server: LocalServer, user: User, body: object): Promise<FileRefusal> {
  return refusalOf(await batchCall(server, user, "", post(body)));
}
