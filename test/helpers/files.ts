/** What tests of files share: a server with a user of each role, and calls of /v1/files. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { type FileView } from "../../src/http/schemas/files.ts";
import { type LocalServer, type LocalServerOptions, startLocalServer } from "./local-server.ts";
import { type Owner } from "./server-handle.ts";

export const USERS = { root: "admin", ada: "user", bob: "user", eve: "viewer" } as const;
export type User = keyof typeof USERS;

function keyOf(user: User): string {
  return `altlas_${user}`;
}

/** @param config YAML beside the users */
export function startFileServer(owner: Owner, config = "", options: LocalServerOptions = {}): Promise<LocalServer> {
  const users = Object.entries(USERS).map(([name, role]) => `    - { name: ${name}, role: ${role} }`);
  const keys = Object.keys(USERS).map(
    (name) => `    - { name: ${name}, user: ${name}, sha256: "${hashApiKey(keyOf(name as User))}" }`,
  );
  const auth = `auth:\n  users:\n${users.join("\n")}\n  keys:\n${keys.join("\n")}\n`;
  return startLocalServer(owner, { devices: "simulated:1", ...options, config: `${auth}${config}` });
}

export function call(server: LocalServer, user: User, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${keyOf(user)}`, ...(init.headers as Record<string, string> | undefined) };
  return fetch(`${server.url}/v1/files${path}`, { ...init, headers });
}

export interface Form {
  readonly content?: string | Uint8Array<ArrayBuffer>;
  readonly filename?: string;
  /** Before the file. */
  readonly before?: Readonly<Record<string, string>>;
  /** After it. */
  readonly after?: Readonly<Record<string, string>>;
}

export function formOf({
  content = "{}\n",
  filename = "lines.jsonl",
  before = {},
  after = { purpose: "batch" },
}: Form) {
  const form = new FormData();
  for (const [name, value] of Object.entries(before)) form.append(name, value);
  form.append("file", new Blob([content]), filename);
  for (const [name, value] of Object.entries(after)) form.append(name, value);
  return form;
}

export async function upload(server: LocalServer, user: User, form: Form = {}): Promise<FileView> {
  const response = await call(server, user, "", { method: "POST", body: formOf(form) });
  const body: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body as FileView;
}

export interface FileRefusal {
  readonly status: number;
  readonly message: string;
  readonly code: string;
  readonly param: string | null;
}

/** What a call was refused with, in OpenAI's envelope. */
export async function refusalOf(response: Response): Promise<FileRefusal> {
  const { error } = (await response.json()) as { error: Omit<FileRefusal, "status"> };
  assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
  const { message, code, param } = error;
  return { status: response.status, message, code, param };
}

/** The names of what is stored. */
export function storedNames(server: LocalServer): string[] {
  const folder = join(server.dataDir, "files");
  return existsSync(folder) ? readdirSync(folder).toSorted() : [];
}
