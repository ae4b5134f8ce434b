/** The result of a fetch, and how it tells how far it is. */

/** A model whose files are all here, whole. */
export interface FetchedModel {
  /** Absolute, of the first file: what llama.cpp is told to open. */
  readonly path: string;
  /** One for each part, in their order. */
  readonly files: readonly FetchedFile[];
  /** Of all files. */
  readonly bytes: number;
  /** The commit of the repository that it comes from; null: it comes from no repository. */
  readonly commit: string | null;
  /** As its source names it; null: that is not known, which is so for everything that was only found. */
  readonly licence: string | null;
}

export interface FetchedFile {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  /** null: it was found, and nothing here tells it without reading the file. */
  readonly sha256: string | null;
}

/** How far a fetch is. */
export interface FetchProgress {
  /** Of all files, those that were here before included. */
  readonly bytes: number;
  /** null: the server has not told it. */
  readonly total: number | null;
  /** Bytes a second over the last seconds; 0 while nothing comes. */
  readonly rate: number;
}
