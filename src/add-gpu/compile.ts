/** Compiles a library's PTX for cards that its driver cannot compile it for, and puts the machine code in its place. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { copyFile, link, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { rename } from "../common/rename.ts";
import { syncFolder } from "../common/sync.ts";
import { contentOf, type Fatbin, type FatbinEntry, fatbinOf, fatbinsIn, machineCode, type Packing } from "./fatbin.ts";
import type { Code } from "./builds.ts";
import { runsOn } from "./plan.ts";

export interface Compilation {
  /** The library's path. Its original is kept beside it, see `originalOf`. */
  readonly library: string;
  /** Compute capabilities times ten. */
  readonly archs: readonly number[];
  /** Those of all cards here: their code stays in any case. */
  readonly cards: readonly number[];
  /** Path of the compiler. */
  readonly ptxas: string;
  /** A folder for what was compiled, so that a second run, or a package that was fetched anew, need not do it again. */
  readonly cache: string;
  onProgress?(done: number, all: number): void;
}

/** Bytes that ptxas takes for the largest modules, generously. */
const PTXAS_MEMORY = 2 ** 30;

/** The library as it came, while another one is in its place. llama.cpp opens no file of this name. */
export function originalOf(library: string): string {
  return `${library}.original`;
}

/** The code in a library, that every one of its modules has. @throws {Error} when it is of a form not known here */
export async function codeIn(library: string): Promise<Code> {
  const file = await open(library);
  const counts = { ptx: new Map<number, number>(), "machine code": new Map<number, number>() };
  let modules = 0;
  try {
    for await (const { entries } of fatbinsIn(file)) {
      modules++;
      for (const { kind, arch } of entries) counts[kind].set(arch, (counts[kind].get(arch) ?? 0) + 1);
    }
  } finally {
    await file.close();
  }
  const inAll = (kind: "ptx" | "machine code"): number[] =>
    [...counts[kind]].filter(([, count]) => count === modules).map(([arch]) => arch);
  return { ptx: inAll("ptx"), machineCode: inAll("machine code") };
}

/**
 * Makes the library one that has machine code for `archs`. It has its name only when it is whole; a run that is cut off is gone on from.
 * @throws {Error} one sentence: ptxas failed, or there is no room for the code
 */
export async function compileLibrary(job: Compilation): Promise<void> {
  const { library } = job;
  const original = originalOf(library);
  const source = existsSync(original) ? original : library;
  const modules = await modulesOf(source);
  await mkdir(job.cache, { recursive: true });
  const compiled = await compileAll(modules, job);
  const half = `${library}.part`;
  await rm(half, { force: true });
  await copyFile(source, half, constants.COPYFILE_FICLONE);
  const file = await open(half, "r+");
  try {
    for (const [index, module] of modules.entries()) {
      const fatbin = await patched(module, compiled[index]!, job);
      await file.write(fatbin, 0, fatbin.length, module.offset);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  if (source === library) await link(library, original);
  await rename(half, library);
  syncFolder(dirname(library));
}

async function modulesOf(library: string): Promise<Fatbin[]> {
  const file = await open(library);
  try {
    return await Array.fromAsync(fatbinsIn(file));
  } finally {
    await file.close();
  }
}

/** The new fatbin of a module, of the same length. */
async function patched(
  { room, entries }: Fatbin,
  cubins: readonly { arch: number; path: string }[],
  { archs, cards, library }: Compilation,
): Promise<Buffer> {
  const own = entries.filter(({ kind, arch }) => kind === "machine code" && !archs.includes(arch));
  const like = entries.find(({ kind }) => kind === "machine code");
  if (like === undefined) throw new Error(`${library} has a module without machine code, which is not known here.`);
  const codes = await Promise.all(cubins.map(async ({ arch, path }) => ({ arch, cubin: await readFile(path) })));
  const isNeeded = (entry: FatbinEntry): boolean => cards.some((card) => runsOn(entry.arch, card));
  const ptx = entries.filter(({ kind }) => kind === "ptx").toReversed();
  const others = [...own.filter((entry) => !isNeeded(entry)), ...ptx];
  const fatbinWith = (packing: Packing): Buffer | null => {
    const made = codes.map(({ arch, cubin }) => machineCode(cubin, arch, like, packing));
    return fatbinOf(room, [...made, ...own.filter(isNeeded)], others);
  };
  const fatbin = fatbinWith("as usual") ?? fatbinWith("small");
  if (fatbin === null) throw new Error(`${library} has no room for the code of ${archs.join(" and ")}.`);
  return fatbin;
}

interface Task {
  readonly module: number;
  readonly arch: number;
  readonly ptx: FatbinEntry;
}

/** Of each module the machine code for each of `archs`, in files. */
async function compileAll(modules: readonly Fatbin[], job: Compilation): Promise<{ arch: number; path: string }[][]> {
  const tasks = modules.flatMap(({ entries }, module) =>
    job.archs.map((arch) => ({ module, arch, ptx: bestPtx(entries, arch) })),
  );
  // The longest ones first, or all would wait for one of them at the end.
  const waiting = tasks.toSorted((a, b) => a.ptx.bytes.length - b.ptx.bytes.length);
  const cubins = modules.map((): { arch: number; path: string }[] => []);
  const made = new Map<string, Promise<string>>();
  let done = 0;
  const lane = async (): Promise<void> => {
    for (let task = waiting.pop(); task !== undefined; task = waiting.pop()) {
      const { module, arch } = task;
      cubins[module]!.push({ arch, path: await compileOne(task, job, made) });
      job.onProgress?.(++done, tasks.length);
    }
  };
  const lanes = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / PTXAS_MEMORY)));
  const ended = Array.from({ length: lanes }, () => lane().finally(() => (waiting.length = 0)));
  // All have ended before a failure is told, or one of them would go on writing files.
  await Promise.allSettled(ended);
  await Promise.all(ended);
  return cubins;
}

function bestPtx(entries: readonly FatbinEntry[], arch: number): FatbinEntry {
  const fitting = entries.filter((entry) => entry.kind === "ptx" && entry.arch <= arch);
  const best = fitting.toSorted((a, b) => b.arch - a.arch)[0];
  if (best === undefined) throw new Error(`A module of the library has no PTX for ${arch}.`);
  return best;
}

/**
 * @param made what was compiled so far, or is: several modules may have the same PTX
 * @returns the path of the cubin
 */
function compileOne({ arch, ptx }: Task, job: Compilation, made: Map<string, Promise<string>>): Promise<string> {
  const text = contentOf(ptx);
  const name = `${createHash("sha256").update(text).digest("hex")}.sm_${arch}`;
  const path = made.get(name) ?? compileText(text, arch, join(job.cache, name), job.ptxas);
  made.set(name, path);
  return path;
}

/** @param name of the files, without what tells them apart */
async function compileText(text: Buffer, arch: number, name: string, ptxas: string): Promise<string> {
  const path = `${name}.cubin`;
  if (existsSync(path)) return path;
  const [input, half] = [`${name}.ptx`, `${path}.part`];
  try {
    await writeFile(input, text);
    await promisify(execFile)(ptxas, [`-arch=sm_${arch}`, "-o", half, input]);
    await rename(half, path);
    return path;
  } catch (error) {
    const { stderr = "", message } = error as Error & { readonly stderr?: string };
    throw new Error(`${ptxas} could not compile for sm_${arch}: ${(stderr.trim() || message).split("\n")[0]}`, {
      cause: error,
    });
  } finally {
    await Promise.all([rm(input, { force: true }), rm(half, { force: true })]);
  }
}
