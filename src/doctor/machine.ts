/** Versions, the system, the limits of the process, and the packages that were installed. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { availableParallelism, cpus, release, totalmem, type as osType } from "node:os";
import { dirname, join, resolve } from "node:path";
import { getHeapStatistics } from "node:v8";
import { INSTALLATION } from "../common/installation.ts";
import { openFiles } from "../common/open-files.ts";
import { ALT_LAS } from "../common/paste.ts";
import { shownSize } from "../common/sizes.ts";
import { SYSTEM } from "../common/system.ts";
import { VERSION } from "../common/version.ts";
import { systemLibrary } from "../engine/llama/no-build.ts";
import type { Fact, Problem, Section } from "./section.ts";

export function versions(lastServed: string | null): Section {
  const facts = {
    alt_las: VERSION,
    installed: `${INSTALLATION.as === "clone" ? "a clone" : `the package (${INSTALLATION.as})`} at ${INSTALLATION.root}`,
    data_last_served_by: lastServed,
    node: `${process.versions.node} at ${process.execPath}`,
  };
  return { facts, problems: [] };
}

export function system(environment: NodeJS.ProcessEnv): Section {
  const limit = process.constrainedMemory();
  const library = SYSTEM.platform === "linux" ? systemLibrary() : null;
  return {
    facts: {
      system: `${osType()} ${release()} (${SYSTEM.platform}-${process.arch})`,
      distribution: distribution(),
      c_library: library && [library.name, library.version].filter((part) => part !== null).join(" "),
      container: environment["container"] ?? (existsSync("/.dockerenv") ? "docker" : null),
      processor: cpus()[0]?.model.trim() ?? null,
      cores: `${availableParallelism()} of ${cpus().length}`,
      memory_bytes: totalmem(),
      // Without a limit the kernel tells a number that no machine has.
      memory_limit_bytes: limit > 0 && limit < totalmem() ? limit : null,
    },
    problems: [],
  };
}

/** https://www.freedesktop.org/software/systemd/man/latest/os-release.html */
function distribution(): string | null {
  try {
    return /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? null;
  } catch {
    return null;
  }
}

/** Descriptors below which connections, workers and the store get in each other's way. */
const FEW_FILES = 1024;
/** Bytes of heap below which a queue of any length is refused. */
const SMALL_HEAP = 192 * 2 ** 20;

/** Those of this process; a server that was started in another way has others, and tells its own. */
export function limits(files = openFiles(), heap = getHeapStatistics().heap_size_limit): Section {
  const problems: Problem[] = [];
  if (files !== null && files.limit < FEW_FILES)
    problems.push({
      problem: `A process may have ${files.limit} files and connections open, which is few for a server.`,
      mend: "ulimit -n 65536",
    });
  if (heap < SMALL_HEAP)
    problems.push({
      problem: `Node's heap is limited to ${shownSize(heap)}, which is little for a queue.`,
      mend: "unset NODE_OPTIONS",
    });
  return { facts: { open_files: files?.limit ?? null, heap_limit_bytes: heap }, problems };
}

/** npm's stand-ins for packages of GPUs have this name. */
const STAND_IN = "gpu-package-not-installed";

export function packages(root: string = INSTALLATION.root): Section {
  const folder = nodeModulesOf(root);
  const scope = join(folder, "@node-llama-cpp");
  const builds = namesIn(scope)
    .map((name) => ({ name, is: manifest(join(scope, name)) }))
    .filter(({ is }) => is !== null && is.name !== STAND_IN)
    .map(({ name, is }) => `${name} ${is!.version}`);
  const engine = manifest(join(root, "node_modules/node-llama-cpp")) ?? manifest(join(folder, "node-llama-cpp"));
  const problems =
    engine === null ? [{ problem: "The package node-llama-cpp is not installed.", mend: REINSTALL }] : [];
  return {
    facts: {
      llama_cpp: engine?.version ?? null,
      builds,
      koffi: manifest(join(folder, "koffi"))?.version ?? null,
      cuda_libraries: existsSync(join(root, "cuda")) ? join(root, "cuda") : null,
    },
    problems,
  };
}

const REINSTALL = INSTALLATION.as === "clone" ? "npm ci" : "npm i --include=optional";

/** Where our dependencies are: in our own folder, or beside us. */
function nodeModulesOf(root: string): string {
  const own = join(root, "node_modules");
  return existsSync(join(own, "fastify")) ? own : dirname(root);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

function manifest(folder: string): { readonly name: string; readonly version: string } | null {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name: string; version: string };
  } catch {
    return null;
  }
}

/** Bytes of free disk below which tasks soon cannot be stored. */
const LITTLE_ROOM = 512 * 2 ** 20;

/**
 * The disks of these folders, or of the nearest folders around them that there are.
 * @param folders by what they are for
 */
export async function disk(folders: Readonly<Record<string, string>>, least = LITTLE_ROOM): Promise<Section> {
  const facts: Record<string, Fact> = {};
  const problems: Problem[] = [];
  for (const [what, folder] of Object.entries(folders)) {
    const there = nearest(resolve(folder));
    try {
      const { bavail, blocks, bsize } = await statfs(there);
      facts[what] = { folder: there, free_bytes: bavail * bsize, size_bytes: blocks * bsize };
      if (bavail * bsize < least)
        problems.push({
          problem: `The disk of ${there} has ${shownSize(bavail * bsize)} left for ${what.replaceAll("_", " ")}. Models that nobody needs can be removed with ${ALT_LAS} rm NAME.`,
          mend: `${ALT_LAS} models`,
        });
    } catch {
      facts[what] = null;
    }
  }
  return { facts, problems };
}

function nearest(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : nearest(dirname(folder));
}
