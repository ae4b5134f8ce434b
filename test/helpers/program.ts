/** The project's own programs, run to their end. They take as long as they take. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type TestContext } from "node:test";
import { ROOT } from "./server.ts";

/** @returns the exit code, and what it printed on both streams */
export async function runToEnd(t: TestContext, file: string, ...args: readonly string[]) {
  const program = spawn(process.execPath, [join(ROOT, file), ...args], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => void program.kill());
  let said = "";
  for (const stream of [program.stdout, program.stderr])
    stream.setEncoding("utf8").on("data", (text) => (said += text));
  const [code] = (await once(program, "close")) as [number | null];
  return { code, said, lastLine: said.trimEnd().split("\n").at(-1)! };
}
