/** Fetches a model from the hub into its cache. */
import { mkdir, rm, stat } from "node:fs/promises";
import { partsOf } from "../common/gguf.ts";
import { AltLasError } from "../errors.ts";
import { CachedRepository } from "./cached-repository.ts";
import { noRoom } from "../common/disk-faults.ts";
import { download } from "../common/download.ts";
import { cacheFolder } from "./environment.ts";
import type { FetchedFile, FetchedModel } from "./fetched.ts";
import { type FetchTools, GGUF } from "./fetch-tools.ts";
import { takeLock } from "./fetch-lock.ts";
import { findModel, modelOf } from "./find.ts";
import { isGguf } from "./gguf-start.ts";
import { Hub, type HubFile, type HubRevision } from "./hub.ts";
import { candidatesIn, chooseFrom } from "./quantization.ts";
import { type HubSource, sourceText } from "./source.ts";

/** A file to fetch, with what the hub says of it. */
interface Wanted extends HubFile {
  readonly path: string;
}

/**
 * @param sha256 that the file must have, from elsewhere than the hub; null: what the hub says counts
 * @throws {AltLasError} as `fetchModel`
 */
export async function fetchFromHub(
  source: HubSource,
  tools: FetchTools,
  sha256: string | null = null,
): Promise<FetchedModel> {
  const hub = await Hub.of(tools.web, tools.environment);
  const found = await findModel(source, tools.environment);
  let revision: HubRevision;
  try {
    revision = await hub.revision(source, tools.signal);
  } catch (error) {
    if (found === null || !(error instanceof AltLasError)) throw error;
    tools.note(`${error.message} What is in the cache of ${sourceText(source)} is used.`);
    return found;
  }
  const wanted = wantedOf(source, revision);
  if (sha256 !== null && wanted[0]?.sha256 !== sha256) {
    const sentence = `The hub's ${sourceText(source)} is not the file that the table means (SHA-256 ${sha256}).`;
    throw new AltLasError("model_fetch_failed", `${sentence} To take it all the same, name it so.`);
  }
  const repository = new CachedRepository(cacheFolder(tools.environment), source.repo);
  await checkRoom(source, repository, wanted, tools);
  for (const file of wanted) await fetchBlob(hub, source, revision.commit, repository, file, tools);
  for (const { path, blob } of wanted) await repository.name(revision.commit, path, blob);
  // Last, so that a revision never means files that are not here.
  await repository.note(source.revision ?? "main", revision.commit);
  const files: FetchedFile[] = [];
  for (const { path, sha256: known } of wanted) {
    const file = await repository.file(revision.commit, path);
    if (file === null) throw new AltLasError("model_fetch_failed", `${sourceText(source)} was removed meanwhile.`);
    files.push({ ...file, sha256: known });
  }
  return modelOf(files, revision.commit, revision.licence);
}

/** @throws {AltLasError} `model_fetch_failed`, with what there is instead */
function wantedOf(source: HubSource, { files }: HubRevision): readonly Wanted[] {
  const candidates = candidatesIn([...files.keys()]);
  const paths =
    source.file === null ? chooseFrom(candidates, source.quantization)?.files : partsOf(source.file);
  const wanted = (paths ?? []).flatMap((path) => {
    const file = files.get(path);
    return file === undefined ? [] : [{ ...file, path }];
  });
  if (paths !== undefined && wanted.length === paths.length) return wanted;
  if (candidates.length === 0) {
    throw new AltLasError("model_fetch_failed", `${source.repo} has no GGUF files; ${sourceText(source)} needs one.`);
  }
  const names =
    source.file === null
      ? [...new Set(candidates.flatMap(({ quantization }) => quantization ?? []))].join(", ")
      : candidates.map((candidate) => candidate.files[0]).join(", ");
  const what = source.file === null ? `no quantization ${source.quantization ?? ""}` : `no file ${source.file}`;
  throw new AltLasError("model_fetch_failed", `${source.repo} has ${what}; it has ${names}.`);
}

async function checkRoom(
  source: HubSource,
  repository: CachedRepository,
  wanted: readonly Wanted[],
  { roomIn, progress }: FetchTools,
): Promise<void> {
  await mkdir(repository.blobs, { recursive: true });
  const sizes = wanted.map(({ bytes }) => bytes);
  const total = sizes.reduce<number | null>((sum, bytes) => (sum === null || bytes === null ? null : sum + bytes), 0);
  progress.expect(total, wanted.length);
  let missing = 0;
  for (const { blob, bytes } of wanted) {
    const here = (await sizeOf(repository.blob(blob))) ?? (await sizeOf(repository.partial(blob))) ?? 0;
    missing += Math.max(0, (bytes ?? 0) - here);
  }
  const free = await roomIn(repository.blobs);
  if (free < missing) throw noRoom(sourceText(source), missing, free, repository.blobs);
}

/** A content with the right size is taken as it is: it got its name only when it was whole. */
async function fetchBlob(
  hub: Hub,
  source: HubSource,
  commit: string,
  repository: CachedRepository,
  { path, blob, bytes, sha256 }: Wanted,
  tools: FetchTools,
): Promise<void> {
  const target = repository.blob(blob);
  const isDone = async () => {
    const size = await sizeOf(target);
    return size !== null && (bytes === null || size === bytes) && (await isGguf(target));
  };
  const held = await takeLock(repository.lock(blob), isDone, tools.signal, tools.look);
  if (held === null) return tools.progress.finished(bytes ?? 0);
  try {
    await rm(target, { force: true });
    const { bytes: got } = await download(
      {
        url: hub.fileUrl(source.repo, commit, path),
        authorization: hub.authorization,
        partial: repository.partial(blob),
        target,
        bytes,
        sha256,
        format: GGUF,
        refusal: (answer) => hub.refusal(source, answer),
      },
      tools,
    );
    tools.progress.finished(got);
  } finally {
    held.release();
  }
}

/** null: it is not there. */
async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  );
}
