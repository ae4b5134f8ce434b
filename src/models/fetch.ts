/** Fetches a model's files onto this machine. `find.ts` finds what is here. */
import { diskFault } from "../common/disk-faults.ts";
import { roomIn } from "../common/disk-space.ts";
import { cacheFolder } from "./environment.ts";
import type { FetchedModel, FetchProgress } from "./fetched.ts";
import type { ModelSource } from "./source.ts";
// Without `import type` the file would be loaded, with its HTTP client, whenever the server starts.
import type { Patience } from "../common/web.ts";

export { findModel } from "./find.ts";
export { type FetchedFile, type FetchedModel, type FetchProgress } from "./fetched.ts";

export interface FetchOptions {
  /** Where the hub, the cache, the key and the proxies are named: `docs/models.md`. */
  readonly environment: NodeJS.ProcessEnv;
  /** Ends it; what came so far stays, and the next fetch goes on from there. */
  readonly signal: AbortSignal;
  /** Twice a second, also while nothing comes. */
  onProgress(progress: FetchProgress): void;
  /** One sentence where it goes another way than was asked: another source, or the files that are here already. */
  onNote?(sentence: string): void;
  /** For tests. */
  readonly limits?: Partial<FetchLimits>;
}

export interface FetchLimits {
  readonly patience: Patience;
  /** Milliseconds between two looks whether another fetch of the same file has ended. */
  readonly look?: number | undefined;
  /** Bytes that may still be written into a folder. */
  readonly roomIn: (folder: string) => Promise<number>;
}

/**
 * Brings a model here, and returns when all its files are whole, checked, on disk and under their names. The hub is asked each time, for a
 * newer commit; what is here already is not fetched again. Two at once, in one process or in several, fetch it once.
 * @throws {AltLasError} `model_fetch_failed` with what to do; the reason of the signal when that aborts
 */
export async function fetchModel(source: ModelSource, options: FetchOptions): Promise<FetchedModel> {
  // The client and its certificates are for those who fetch.
  const [{ PATIENCE, Web }, { Meter }, { fetchSource }] = await Promise.all([
    import("../common/web.ts"),
    import("./meter.ts"),
    import("./fetch-source.ts"),
  ]);
  const { patience = PATIENCE, look, roomIn: room = roomIn } = options.limits ?? {};
  await using web = new Web(options.environment, patience);
  using meter = new Meter((progress) => options.onProgress(progress));
  const note = (sentence: string): void => options.onNote?.(sentence);
  const { environment, signal } = options;
  try {
    return await fetchSource(source, { web, progress: meter, signal, roomIn: room, look, environment, note });
  } catch (error) {
    throw diskFault(error, cacheFolder(environment)) ?? error;
  }
}
