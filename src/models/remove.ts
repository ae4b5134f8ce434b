/** Removes a model's files from the cache. */
import { AltLasError } from "../errors.ts";
import { CachedRepository } from "./cached-repository.ts";
import { cacheFolder } from "./environment.ts";
import type { FetchedModel } from "./fetched.ts";
import { findModel, placeOfUrl, placeOfWheel } from "./find.ts";
import { type HubSource, type ModelSource, parseSource, sourceText } from "./source.ts";
import { tableModel } from "./table.ts";

/**
 * Removes what a source names, whoever has fetched it. Contents that another revision of the repository has as well stay. With the last model
 * of a repository, the rest of it goes, also what an unfinished fetch left.
 * @param others sources of models that are still wanted: their files stay, and what is being fetched of them goes on
 * @returns the bytes of the model; null: there was none
 * @throws {AltLasError} `invalid_input`: it is a path, so the file is the user's own
 */
export async function removeModel(
  source: ModelSource,
  environment: NodeJS.ProcessEnv,
  others: readonly ModelSource[] = [],
): Promise<number | null> {
  if (source.kind === "path") {
    throw new AltLasError("invalid_input", `${sourceText(source)} is a file of your own, which is not removed.`);
  }
  const found = await findModel(source, environment);
  if (source.kind === "hub") await removeFromHubCache(source, found, environment, others);
  if (source.kind === "url") {
    await placeOfUrl(source.url, environment).own.remove();
  }
  if (source.kind === "table") {
    const model = tableModel(source.name);
    if (model !== undefined) await removeModel(parseSource(model.source), environment, others);
    if (model !== undefined && model.wheel !== null) await placeOfWheel(model.wheel, environment).own.remove();
  }
  return found?.bytes ?? null;
}

/** Without a revision, earlier versions of the same files go as well. */
async function removeFromHubCache(
  source: HubSource,
  found: FetchedModel | null,
  environment: NodeJS.ProcessEnv,
  others: readonly ModelSource[],
): Promise<void> {
  const repository = new CachedRepository(cacheFolder(environment), source.repo);
  const commit = await repository.commitOf(source.revision ?? "main");
  const paths = commit === null ? [] : (found?.files ?? []).map(({ path }) => repository.pathIn(commit, path));
  const neighbours = others.map(onHub).filter((other) => other?.repo === source.repo);
  const kept = await Promise.all(neighbours.map(async (other) => findModel(other!, environment)));
  const names = new Set(kept.flatMap((model) => model?.files ?? []).map(({ path }) => path));
  await repository.remove(paths, source.revision === null ? null : commit, neighbours.length === 0 ? null : names);
}

/** Where a model is on the hub; null: it is from elsewhere. */
function onHub(source: ModelSource): HubSource | null {
  const named = source.kind === "table" ? parseSource(tableModel(source.name)!.source) : source;
  return named.kind === "hub" ? named : null;
}
