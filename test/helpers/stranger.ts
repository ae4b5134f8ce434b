/** Commands as a stranger types them, who has npm and none of what is installed here. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter } from "node:path";

/** What npm says when its registry cannot be reached. */
export const UNREACHABLE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b/;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What npm must be told to find its packages; all else that begins like this comes from the npm that runs these tests. */
const WHERE_PACKAGES_ARE = /^npm_config_(registry|cache|userconfig|globalconfig|cafile|(https?_|no)?proxy)$/;

/** The environment of a person's shell: without what npm and the test runner have put into ours. */
function strangersEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(npm_|NODE_TEST_|ALT_LAS_|INIT_CWD$)/;
  const kept = Object.entries(process.env).filter(([name]) => !ours.test(name) || WHERE_PACKAGES_ARE.test(name));
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter) };
}

export const ENVIRONMENT = strangersEnvironment();

export async function shell(command: string, cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const child = spawn("sh", ["-ec", command], {
    cwd,
    env: { ...ENVIRONMENT, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** Runs commands that must succeed, and returns what they print. */
export async function succeed(command: string, cwd: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { code, stdout, stderr } = await shell(command, cwd, env);
  assert.equal(code, 0, `${command}\n${stdout}\n${stderr}`);
  return stdout;
}
