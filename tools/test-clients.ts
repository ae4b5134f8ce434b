/**
 * Installs the clients of others that test/clients uses; what is installed as its list says stays:
 *
 *     node tools/test-clients.ts
 *
 * Needs npm, and `python3` with venv; the packages take 850 MB.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLIENTS, environmentOf, NODE_PACKAGES, PYTHON_CLIENTS, pythonIn, stampOf } from "../test/helpers/clients.ts";

const CONSTRAINTS = join(CLIENTS, "constraints.txt");

install(NODE_PACKAGES, [join(CLIENTS, "package-lock.json")], () => {
  run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", CLIENTS);
});
for (const name of PYTHON_CLIENTS) {
  const list = join(CLIENTS, `${name}.txt`);
  // llama-index wants an older openai than the others, so each list has an environment of its own.
  const environment = environmentOf(name);
  install(environment, [list, CONSTRAINTS], () => {
    run("python3", "-m", "venv", environment);
    const from = ["--requirement", list, "--constraint", CONSTRAINTS];
    run(pythonIn(environment), "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary", ":all:", ...from);
  });
}

/** Makes a folder anew, unless it was made from these very files. */
function install(folder: string, files: readonly string[], make: () => void): void {
  const stamp = stampOf(folder);
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  const wanted = hash.digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  make();
  writeFileSync(stamp, wanted);
}

function run(program: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: "inherit" });
  if (status !== 0) throw error ?? new Error(`${program} ${args.join(" ")} failed.`);
}
