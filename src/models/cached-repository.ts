/**
 * A repository in the hub's cache, laid out as Hugging Face's own programs and llama.cpp lay it out and look for it:
 *
 *   models--owner--repo/blobs/<sha256>                  contents, each once
 *   models--owner--repo/snapshots/<commit>/<path>       names: relative symlinks to contents
 *   models--owner--repo/refs/<revision>                 the commit that a branch or tag was at
 *   .locks/models--owner--repo/                         who is fetching what
 *
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import { randomUUID } from "node:crypto";
import { copyFile, link, mkdir, readdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { rename } from "../common/rename.ts";
import { syncFolder } from "../common/sync.ts";
import type { FetchedFile } from "./fetched.ts";

const COMMIT = /^[0-9a-f]{40}$/;

/** Gives a file a second name. */
export type Linker = (target: string, path: string) => Promise<void>;

/** Symlinks are refused by some file systems and, without a right of its own, by Windows; then hard links; then there are copies. */
const LINKERS: readonly Linker[] = [
  async (target, path) => symlink(relative(dirname(path), target), path),
  link,
  async (target, path) => copyFile(target, path),
];

export class CachedRepository {
  readonly #folder: string;
  readonly #locks: string;

  /** @param cache the folder of the hub's cache. @param repo like `owner/repo` */
  constructor(cache: string, repo: string) {
    const name = `models--${repo.replaceAll("/", "--")}`;
    this.#folder = join(cache, name);
    this.#locks = join(cache, ".locks", name);
  }

  get blobs(): string {
    return join(this.#folder, "blobs");
  }

  blob(name: string): string {
    return join(this.blobs, name);
  }

  /** Where a content grows that is being fetched; other programs use the same name. */
  partial(name: string): string {
    return `${this.blob(name)}.incomplete`;
  }

  /** Others keep files of their own there, which they lock by other means. */
  lock(name: string): string {
    return join(this.#locks, `${name}.alt-las`);
  }

  path(commit: string, file: string): string {
    return join(this.#folder, "snapshots", commit, file);
  }

  /** The path in the repository of a file in a commit's folder. */
  pathIn(commit: string, named: string): string {
    return relative(this.path(commit, "."), named).split(sep).join("/");
  }

  /** @param revision a branch, a tag or a commit. @returns null: nothing of it is here */
  async commitOf(revision: string): Promise<string | null> {
    if (COMMIT.test(revision)) return (await isThere(this.path(revision, "."))) ? revision : null;
    const text = await readFile(join(this.#folder, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(text.trim()) ? text.trim() : null;
  }

  /** The paths of the files of a commit that are here, with slashes. */
  async files(commit: string): Promise<readonly string[]> {
    const folder = this.path(commit, ".");
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const names = entries.filter((entry) => !entry.isDirectory());
    return names.map(({ parentPath, name }) => this.pathIn(commit, join(parentPath, name)));
  }

  /** @returns null: its name is there, its content is not */
  async file(commit: string, path: string): Promise<FetchedFile | null> {
    try {
      const named = this.path(commit, path);
      const [stats, content] = await Promise.all([stat(named), realpath(named)]);
      const isBlob = basename(dirname(content)) === "blobs" && /^[0-9a-f]{64}$/.test(basename(content));
      return stats.isFile() ? { path: named, bytes: stats.size, sha256: isBlob ? basename(content) : null } : null;
    } catch {
      return null;
    }
  }

  /** Gives a content that is here its name in a commit. */
  async name(commit: string, path: string, blob: string, linkers = LINKERS): Promise<void> {
    const named = this.path(commit, path);
    await mkdir(dirname(named), { recursive: true });
    await linkAs(named, this.blob(blob), linkers);
    syncFolder(dirname(named));
  }

  /**
   * Removes files, and the contents that no other name needs; with the last one, all that is here of the repository.
   * @param commit null: in all commits
   * @param kept names of files that stay; null: nobody has another file of the repository, or is about to
   */
  async remove(paths: readonly string[], commit: string | null, kept: ReadonlySet<string> | null): Promise<void> {
    const commits = await readdir(this.path(".", ".")).catch(() => []);
    const contents = new Set<string>();
    for (const one of commit === null ? commits : [commit])
      for (const path of paths) {
        const named = this.path(one, path);
        if (kept?.has(named) === true) continue;
        contents.add(await realpath(named).catch(() => named));
        await rm(named, { force: true });
      }
    const left = (await Promise.all(commits.map((one) => this.#contentsOf(one)))).flat();
    for (const content of contents) if (!left.includes(content)) await rm(content, { force: true });
    // A file that is being fetched has no name yet.
    if (left.length > 0 || kept !== null) return;
    await rm(this.#folder, { recursive: true, force: true });
    await rm(this.#locks, { recursive: true, force: true });
  }

  /** Where the names of a commit lead. */
  async #contentsOf(commit: string): Promise<readonly string[]> {
    const names = (await this.files(commit)).map((file) => this.path(commit, file));
    return Promise.all(names.map((name) => realpath(name).catch(() => name)));
  }

  /** Notes the commit that a branch or a tag is at; a commit needs no note. */
  async note(revision: string, commit: string): Promise<void> {
    if (COMMIT.test(revision)) return;
    await replaceFile(join(this.#folder, "refs", revision), commit);
  }
}

async function linkAs(path: string, target: string, linkers: readonly Linker[]): Promise<void> {
  // Another process may do the same: each makes a file of its own, and the last name counts. Symlinks are relative to where they are.
  const temporary = join(dirname(path), `.${randomUUID()}`);
  let refused: unknown;
  for (const make of linkers) {
    try {
      await make(target, temporary);
      await rename(temporary, path);
      return;
    } catch (error) {
      refused = error;
    } finally {
      // Of two hard links to one content, a rename leaves both.
      await rm(temporary, { force: true });
    }
  }
  throw refused;
}

/** Writes a small file whole or not at all. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
