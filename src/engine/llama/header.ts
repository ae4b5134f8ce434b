/** Facts about a model from the header of its GGUF file, before anything is loaded. */
import { basename } from "node:path";
import { GgmlType, type GgufFileInfo, GgufInsights, type Llama, readGgufFileInfo } from "node-llama-cpp";
import { messageOf } from "../../errors.ts";
import type { KvCacheType } from "../engine.ts";
import { partsOf } from "../../common/gguf.ts";
import { KV_NUMBER } from "./file-shape.ts";
import { checkWhole, type Part } from "./model-parts.ts";

/** The types of KV cache, by node-llama-cpp's names. */
export const KV_CACHE = { f16: GgmlType.F16, q8_0: GgmlType.Q8_0, q4_0: GgmlType.Q4_0 } as const;

/** Of `enum llama_pooling_type`: each token has a vector of its own. Below it stands that the file does not say, above it how they are summed up. */
const NO_POOLING = 0;

/** A model file that has not been loaded yet. */
export interface ModelHeader {
  readonly insights: GgufInsights;
  /** Tokens; Infinity where the file does not say. */
  readonly trainContext: number;
  /** Numbers of KV cache one token takes at most: with sliding windows or recurrent layers it is less. */
  readonly kvNumbersPerToken: number;
  /** Numbers of one row in the KV cache, the keys of a head or its values; 0: there is none, or they are not alike. */
  readonly kvRow: number;
  /** Whether it can be asked for the next token of a text; else it is made for vectors alone. */
  readonly generates: boolean;
}

/** @throws whatever node-llama-cpp stumbles over in a damaged header */
export async function readHeader(llama: Llama, path: string, signal: AbortSignal): Promise<ModelHeader> {
  const file = await readFileInfo(path, signal);
  const { context_length: trained } = file.architectureMetadata;
  return {
    insights: await GgufInsights.from(file, llama),
    trainContext: Number.isSafeInteger(trained) && trained! > 0 ? trained! : Infinity,
    ...kvShapeOf(file.architectureMetadata),
    generates: generates(file.architectureMetadata),
  };
}

/** Of all parts; of several the one that cannot be read, or is not whole, is named. */
async function readFileInfo(path: string, signal: AbortSignal): Promise<GgufFileInfo> {
  const options = { sourceType: "filesystem", logWarnings: false, signal } as const;
  const parts: Part[] = [];
  for (const part of partsOf(path)) {
    const info = await readGgufFileInfo(part, { ...options, spliceSplitFiles: false }).catch((cause: unknown) => {
      throw part === path ? cause : new Error(`${basename(part)}: ${messageOf(cause)}`, { cause });
    });
    parts.push({ path: part, info });
  }
  await checkWhole(parts);
  return parts.length === 1 ? parts[0]!.info : readGgufFileInfo(path, options);
}

/** Bytes of KV cache one token takes at most. */
export function kvBytesPerToken({ kvNumbersPerToken }: ModelHeader, type: KvCacheType): number {
  return Math.ceil(kvNumbersPerToken * KV_NUMBER[type]);
}

/** A key and a value for each head of each layer. */
export function kvShapeOf(shape: ModelShape): Pick<ModelHeader, "kvNumbersPerToken" | "kvRow"> {
  const { attention, block_count: layers = 0, embedding_length: width = 0 } = shape;
  const heads = attention?.head_count ?? 0;
  const kvHeads = attention?.head_count_kv ?? heads;
  const headSize = heads > 0 ? width / heads : 0;
  const [keys, values] = [attention?.key_length ?? headSize, attention?.value_length ?? headSize];
  const allHeads = Array.isArray(kvHeads) ? kvHeads.reduce((sum, count) => sum + count, 0) : kvHeads * layers;
  const numbers = allHeads * (keys + values);
  // A header may have anything in it; llama.cpp refuses what makes no sense.
  const isSensible = Number.isSafeInteger(2 * numbers) && numbers > 0 && attention?.causal !== false;
  return { kvNumbersPerToken: isSensible ? numbers : 0, kvRow: keys === values ? keys : 0 };
}

/** One that sees what follows a token, or that sums a text up, would crash or answer nonsense when asked for the next token. */
export function generates({ attention, pooling_type: pooling = NO_POOLING }: ModelShape): boolean {
  return attention?.causal !== false && pooling <= NO_POOLING;
}

type ModelShape = GgufInsights["ggufFileInfo"]["architectureMetadata"];

/** The name of a file's model in requests: the one in its header, else the file's. */
export function modelNameOf({ insights }: Pick<ModelHeader, "insights">, path: string): string {
  const name = insights.ggufFileInfo.metadata.general.name?.trim() ?? "";
  return name === "" ? basename(path, ".gguf") : name;
}
