/** Commands of `alt-las` without a process of their own; test/wide/e2e-command-line.test.ts starts the real program. */
import { tmpdir } from "node:os";
import { Readable, Writable } from "node:stream";
import { main } from "../../src/cli/cli.ts";
import { type Ran, type RunOptions } from "./server.ts";

/** The folder and the environment belong to the whole process, so commands run one after the other. */
let last: Promise<unknown> = Promise.resolve();

/** Runs a command to its end, as `altLas` does. */
export function runCommand(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const ran = last.then(() => run(args, options));
  last = ran.catch(() => {});
  return ran;
}

async function run(args: readonly string[], { input = "", cwd = tmpdir(), env }: RunOptions): Promise<Ran> {
  const before = { folder: process.cwd(), env: process.env };
  const { ALT_LAS_API_KEY: _key, ALT_LAS_DATA_DIR: _dir, ...inherited } = process.env;
  const [stdout, stderr] = [new Kept(), new Kept()];
  process.env = { ...inherited, ...env };
  process.chdir(cwd);
  try {
    const code = await main(["node", "alt-las", ...args], { stdin: Readable.from([input]), stdout, stderr });
    return { code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    process.chdir(before.folder);
    process.env = before.env;
  }
}

class Kept extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
