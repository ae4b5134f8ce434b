/** The clients of others in test/clients, where this machine has them: tools/test-clients.ts installs them. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Owner } from "./server.ts";

export const CLIENTS = fileURLToPath(new URL("../clients/", import.meta.url));
/** The lists of Python packages there. */
export const PYTHON_CLIENTS = ["openai", "llama-index", "instructor"] as const;
export type PythonClients = (typeof PYTHON_CLIENTS)[number];

export const NO_CLIENTS = "the clients are not installed: node tools/test-clients.ts does it (.ci/run does)";

/** Where npm puts its packages. */
export const NODE_PACKAGES = join(CLIENTS, "node_modules");

/** The folder of a list's Python environment. */
export function environmentOf(list: PythonClients): string {
  return fileURLToPath(new URL(`../../node_modules/.cache/clients/${list}`, import.meta.url));
}

/** Of an environment. */
export function pythonIn(environment: string): string {
  return join(environment, "bin", "python3");
}

/** The program llm. */
export const LLM = join(environmentOf("openai"), "bin", "llm");

/** In a folder of packages, when it is whole: what it was made from. */
export function stampOf(folder: string): string {
  return join(folder, ".made-from");
}

/** Whether all are installed. */
export function haveClients(): boolean {
  return [NODE_PACKAGES, ...PYTHON_CLIENTS.map(environmentOf)].every((folder) => existsSync(stampOf(folder)));
}

/** A running program of test/clients. */
export class ClientProgram {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #said = "";

  private constructor(owner: Owner, name: string, env: Readonly<Record<string, string>>, python: PythonClients | null) {
    const program = python === null ? process.execPath : pythonIn(environmentOf(python));
    // Else litellm asks the internet for the prices of models, and waits.
    const offline = { LITELLM_LOCAL_MODEL_COST_MAP: "True" };
    this.#process = spawn(program, [join(CLIENTS, name)], { env: { ...process.env, ...offline, ...env } });
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
    owner.after(() => void this.#process.kill("SIGKILL"));
  }

  /** @param python the list of its packages; null: it runs on Node */
  static start(
    owner: Owner,
    name: string,
    env: Readonly<Record<string, string>>,
    python: PythonClients | null,
  ): ClientProgram {
    return new ClientProgram(owner, name, env, python);
  }

  /** What its steps found, by their names. */
  async found<Found>(): Promise<Found> {
    return JSON.parse(await this.#line()) as Found;
  }

  /** Resolves when it says so. */
  async says(words: string): Promise<void> {
    assert.equal(await this.#line(), words, this.#said);
  }

  /** Resolves when it has left its stream. */
  async left(): Promise<void> {
    await this.says("left");
  }

  /** Says something to it. */
  tell(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  /** Lets it end. */
  async end(): Promise<void> {
    this.#process.stdin!.end();
    const [code] = (await once(this.#process, "close")) as [number | null];
    assert.equal(code, 0, this.#said);
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`It said nothing more:\n${this.#said}`);
    return value;
  }
}
