/** The clients in clients/, and servers that are none of ours, for tests. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { AltLas, type AltLasOptions } from "../../clients/typescript/src/index.ts";
import { type Owner, ROOT, type Server, type ServerOptions } from "./server.ts";

export const PYTHON = join(ROOT, "clients", "python");
/** For the packages of the Python client as they stand here. */
export const PYTHON_ENVIRONMENT = { PYTHONPATH: join(PYTHON, "src"), PYTHONDONTWRITEBYTECODE: "1" };

export function clientOf(server: { readonly url: string; readonly key: string }, options: Partial<AltLasOptions> = {}) {
  return new AltLas({ url: server.url, apiKey: server.key, ...options });
}

/** Kills a server, and starts it again where it was. */
export async function killAndRestart(server: Server, { args = [], ...changes }: ServerOptions): Promise<Server> {
  const { port } = new URL(server.url);
  await server.kill9();
  return server.restart({ ...changes, args: [...args, "--port", port] });
}

/** A server that answers as the test says. @returns its address */
export async function standIn(
  owner: Owner,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader("connection", "close");
    answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  owner.after(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A way to a server on which the first answers get lost: the connection is cut when they come. @returns its address */
export async function lossyWay(owner: Owner, url: string, losses: number): Promise<string> {
  const { hostname, port } = new URL(url);
  let left = losses;
  const way = createTcpServer((client) => {
    const server = connect(Number(port), hostname);
    client.on("error", () => server.destroy()).on("close", () => server.destroy());
    server.on("error", () => client.destroy()).on("close", () => client.destroy());
    client.pipe(server);
    server.on("data", (data) => {
      if (left > 0) {
        left--;
        client.destroy();
      } else client.write(data);
    });
  }).listen(0, "127.0.0.1");
  await once(way, "listening");
  owner.after(() => void way.close());
  return `http://127.0.0.1:${(way.address() as AddressInfo).port}`;
}

/** A Python program that says JSON, a line each. */
export class PythonProgram {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #said = "";

  constructor(owner: Owner, path: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#process = spawn("python3", [path, ...args], { env: { ...process.env, ...PYTHON_ENVIRONMENT, ...env } });
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
    owner.after(() => void this.#process.kill("SIGKILL"));
  }

  async says<Said>(): Promise<Said> {
    const { value, done } = await this.#lines.next();
    assert.ok(done !== true, `It said nothing more:\n${this.#said}`);
    return JSON.parse(value) as Said;
  }
}
