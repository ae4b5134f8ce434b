/** Finds a model that is on this machine already, without asking anybody. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { posix, resolve } from "node:path";
import { partsOf } from "../common/gguf.ts";
import { CachedRepository } from "./cached-repository.ts";
import { cacheFolder } from "./environment.ts";
import type { FetchedFile, FetchedModel } from "./fetched.ts";
import { isGguf } from "./gguf-start.ts";
import { OwnFiles } from "./own-files.ts";
import { candidatesIn, chooseFrom } from "./quantization.ts";
import { type HubSource, type ModelSource, parseSource } from "./source.ts";
import { tableModel, type TableWheel } from "./table.ts";

/**
 * The model of a source, when all its files are here: ours, or what other programs have put into the hub's cache. A repository without a
 * quantization means whichever is here, the usual one first.
 * @param environment where the cache is
 * @returns null: a file is missing, or is no GGUF file
 */
export async function findModel(source: ModelSource, environment: NodeJS.ProcessEnv): Promise<FetchedModel | null> {
  switch (source.kind) {
    case "path":
      return whole(await Promise.all(partsOf(resolve(source.path)).map(plainFile)));
    case "hub":
      return findInHubCache(source, environment);
    case "url": {
      const { own, files } = placeOfUrl(source.url, environment);
      return whole(await Promise.all(files.map((file) => own.file(file))));
    }
    case "table": {
      const model = tableModel(source.name);
      if (model === undefined) return null;
      const found = await findModel(parseSource(model.source), environment);
      const either = found ?? (model.wheel === null ? null : await findWheel(model.wheel, environment));
      return either === null ? null : { ...either, licence: model.licence };
    }
  }
}

async function findInHubCache(source: HubSource, environment: NodeJS.ProcessEnv): Promise<FetchedModel | null> {
  const repository = new CachedRepository(cacheFolder(environment), source.repo);
  const commit = await repository.commitOf(source.revision ?? "main");
  if (commit === null) return null;
  const files =
    source.file === null
      ? chooseFrom(candidatesIn(await repository.files(commit)), source.quantization)?.files
      : partsOf(source.file);
  if (files === undefined) return null;
  return whole(await Promise.all(files.map((file) => repository.file(commit, file))), commit);
}

async function findWheel(wheel: TableWheel, environment: NodeJS.ProcessEnv): Promise<FetchedModel | null> {
  const { own, file } = placeOfWheel(wheel, environment);
  const found = await own.file(file);
  return found?.bytes === wheel.sizeBytes ? whole([{ ...found, sha256: wheel.sha256 }]) : null;
}

async function plainFile(path: string): Promise<FetchedFile | null> {
  const stats = await stat(path).catch(() => null);
  return stats?.isFile() ? { path, bytes: stats.size, sha256: null } : null;
}

async function whole(
  files: readonly (FetchedFile | null)[],
  commit: string | null = null,
): Promise<FetchedModel | null> {
  const there = files.filter((file) => file !== null);
  const isWhole = there.length === files.length && (await Promise.all(there.map(({ path }) => isGguf(path)))).every(Boolean);
  return isWhole ? modelOf(there, commit, null) : null;
}

export function modelOf(files: readonly FetchedFile[], commit: string | null, licence: string | null): FetchedModel {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { path: files[0]!.path, files, bytes, commit, licence };
}

/** Where the files of a URL are kept, and what they are called there. */
export function placeOfUrl(
  url: string,
  environment: NodeJS.ProcessEnv,
): { readonly own: OwnFiles; readonly files: readonly string[]; readonly urls: readonly string[] } {
  const { hostname, pathname } = new URL(url);
  const name = posix.basename(pathname);
  const parts = partsOf(name);
  const urls = parts.map((part) => {
    // A path may end in a slash, which is no part of a name.
    if (parts.length === 1) return url;
    const other = new URL(url);
    other.pathname = posix.join(posix.dirname(pathname), part);
    return other.href;
  });
  const files = parts.map((part) => `${part.replace(/\.gguf$/i, "").replace(/[^\w.-]+/g, "-") || "model"}.gguf`);
  const key = `${hostname.replace(/[^\w.-]+/g, "-")}-${createHash("sha256").update(urls[0]!).digest("hex").slice(0, 16)}`;
  return { own: new OwnFiles(cacheFolder(environment), key), files, urls };
}

export function placeOfWheel(
  { package: name, version, entry }: TableWheel,
  environment: NodeJS.ProcessEnv,
): { readonly own: OwnFiles; readonly file: string } {
  return { own: new OwnFiles(cacheFolder(environment), `pypi-${name}-${version}`), file: posix.basename(entry) };
}
