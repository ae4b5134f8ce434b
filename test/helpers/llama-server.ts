/** A real llama.cpp server for tests, wherever this machine has one; and programs that stand in its place. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { constants, createReadStream } from "node:fs";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { StandInFaults } from "./fake-llama-server.ts";

const LAUNCHER = fileURLToPath(new URL("llama-server.py", import.meta.url));
const STAND_IN = fileURLToPath(new URL("fake-llama-server.ts", import.meta.url));

/** Where .ci/run installs xllamacpp, which brings the server along. */
const VENV = fileURLToPath(new URL("../../node_modules/.cache/python/bin/python3", import.meta.url));

/** How to start it; null: there is none here. */
export const LLAMA_SERVER: readonly string[] | null = await find();

export const NO_LLAMA_SERVER =
  "no llama.cpp server: neither ALT_LAS_TEST_LLAMA_SERVER, nor llama-server on PATH, nor the Python package xllamacpp (.ci/run installs it)";

async function find(): Promise<readonly string[] | null> {
  const { ALT_LAS_TEST_LLAMA_SERVER: named, PATH = "" } = process.env;
  if (named !== undefined) return [named];
  for (const place of PATH.split(delimiter)) {
    const program = join(place, "llama-server");
    if (place !== "" && (await isExecutable(program))) return [program];
  }
  const python = ["python3", VENV].find((one) => spawnSync(one, ["-c", "import xllamacpp"]).status === 0);
  return python === undefined ? null : [python, LAUNCHER];
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** A program for `engine.binary`, in a directory of its own. */
export class Program {
  readonly path: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.path = join(directory, "llama-server");
  }

  /** One that is replaced by this command, with its own arguments behind. */
  static async running(command: readonly string[]): Promise<Program> {
    const program = new Program(await mkdtemp(join(tmpdir(), "alt-las-program-")));
    spawnSync("mkfifo", [program.#life]);
    const script = [
      "#!/bin/sh",
      `printf '%s\\n' "$$" "$@" >${quoted(program.#arguments)}`,
      // Nobody but the server has this open, and its end is the server's end.
      `exec 9<>${quoted(program.#life)}`,
      `exec ${command.map(quoted).join(" ")} "$@"`,
    ];
    await writeFile(program.path, `${script.join("\n")}\n`, { mode: 0o700 });
    return program;
  }

  /** One that speaks as the real one, and fails as it is told to. @param starter a command that starts it */
  static standIn(faults: StandInFaults = {}, starter: readonly string[] = []): Promise<Program> {
    return Program.running([...starter, process.execPath, STAND_IN, JSON.stringify(faults)]);
  }

  get #life(): string {
    return join(this.#directory, "life");
  }

  get #arguments(): string {
    return join(this.#directory, "arguments");
  }

  /** The value of an argument that it was started with last; "" when it was not among them. */
  async value(name: string): Promise<string> {
    const all = await this.#start();
    return all.includes(name) ? all[all.indexOf(name) + 1]! : "";
  }

  /** Its process id when it was started last. */
  async pid(): Promise<number> {
    return Number((await this.#start())[0]);
  }

  async #start(): Promise<string[]> {
    return (await readFile(this.#arguments, "utf8")).split("\n");
  }

  /** Its next life: resolves when it is there, and when it is gone again. To be asked for before it is started. */
  life(): { readonly begun: Promise<unknown>; readonly over: Promise<unknown> } {
    const stream = createReadStream(this.#life).resume();
    return { begun: once(stream, "open"), over: once(stream, "close") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true });
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
