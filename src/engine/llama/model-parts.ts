/** Whether the files of a model are whole and belong together, by their headers: llama.cpp names none of them. */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { GgmlType, type GgufFileInfo, type GgufTensorInfo } from "node-llama-cpp";
import { EngineFailure } from "../failures.ts";

/** Weights and bytes of a block, of the types that most files have: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h */
const BLOCKS: { readonly [type in GgmlType]?: readonly [weights: number, bytes: number] } = {
  [GgmlType.F32]: [1, 4],
  [GgmlType.F16]: [1, 2],
  [GgmlType.BF16]: [1, 2],
  [GgmlType.Q4_0]: [32, 18],
  [GgmlType.Q5_0]: [32, 22],
  [GgmlType.Q8_0]: [32, 34],
  [GgmlType.Q4_K]: [256, 144],
  [GgmlType.Q5_K]: [256, 176],
  [GgmlType.Q6_K]: [256, 210],
};

/** A part, and what its header says. */
export interface Part {
  readonly path: string;
  readonly info: GgufFileInfo;
}

/** Facts about the whole model that one part tells. */
interface Split {
  readonly no?: unknown;
  readonly count?: unknown;
  readonly tensors?: { readonly count?: unknown };
}

/** @throws {EngineFailure} `model_error`: a file that is too short, or not the part of this model that its name says; it is named */
export async function checkWhole(parts: readonly Part[]): Promise<void> {
  for (const { path, info } of parts) {
    const { size } = await stat(path);
    const least = leastSize(info);
    if (size < least)
      throw refusal(
        parts,
        `${basename(path)} is cut short: it has ${size} bytes, and its weights need at least ${least}`,
      );
  }
  if (parts.length > 1) checkTogether(parts);
}

/** Bytes; of a last tensor whose type is not known here, only where it begins. */
function leastSize({ infoEndOffset = 0, tensorInfo = [] }: GgufFileInfo): number {
  return tensorInfo.reduce(
    (least, tensor) => Math.max(least, Number(tensor.fileOffset) + bytesOf(tensor)),
    infoEndOffset,
  );
}

function bytesOf({ ggmlType, dimensions }: GgufTensorInfo): number {
  const [weights, bytes] = BLOCKS[ggmlType] ?? [1, 0];
  return Math.floor(dimensions.reduce<number>((product, length) => product * Number(length), 1) / weights) * bytes;
}

function checkTogether(parts: readonly Part[]): void {
  const whole = splitOf(parts[0]!);
  const seen = new Map<string, string>();
  for (const [index, part] of parts.entries()) {
    const { no, count, tensors } = splitOf(part);
    const name = basename(part.path);
    const belongs = no === index && count === parts.length && tensors?.count === whole.tensors?.count;
    // A first file that tells nothing of parts is refused by its name.
    if (!belongs && whole.count !== undefined)
      throw refusal(parts, `${name} is not part ${index + 1} of ${parts.length} of this model, but ${saidOf(part)}`);
    for (const tensor of part.info.tensorInfo ?? []) {
      const other = seen.get(tensor.name);
      if (other !== undefined) throw refusal(parts, `${name} has weights (${tensor.name}) that ${other} has too`);
      seen.set(tensor.name, name);
    }
  }
}

function refusal([first]: readonly Part[], why: string): EngineFailure {
  return new EngineFailure("model_error", `The model file ${first!.path} could not be loaded: ${why}.`);
}

function saidOf(part: Part): string {
  const { no, count, tensors } = splitOf(part);
  if (typeof no !== "number" || typeof count !== "number") return "a model of its own";
  return `part ${no + 1} of ${count} of one with ${String(tensors?.count)} tensors`;
}

function splitOf({ info }: Part): Split {
  return (info.metadata as { readonly split?: Split }).split ?? {};
}
