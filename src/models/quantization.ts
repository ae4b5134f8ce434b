/** Which file of a repository is meant by a quantization, or by none. */
import { posix } from "node:path";
import { isFirstPart, lastPart, partsOf } from "../common/gguf.ts";

/** As llama.cpp names its quantizations, between two separators or at the end. */
const TAG = /(?:^|[-_.])((?:UD-)?(?:I?Q\d\w*|TQ\d_\d|MXFP4\w*|NVFP4\w*|BF16|FP?16|FP?32))(?=$|[-.])/gi;
/** GGUF files that are no models by themselves. */
const NO_MODEL = /^(mmproj|imatrix)[-_.]|[-_.](mmproj|imatrix)[-_.]/i;
/** The quantizations taken where nobody names one: the first of them that is there. */
const PREFERRED = ["Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "Q5_K_M", "Q8_0"];

/** A model in a repository: its files, and its quantization as the first one's name has it (null: it says nothing). */
export interface Candidate {
  readonly files: readonly string[];
  readonly quantization: string | null;
}

/** @param files paths in a repository; parts of a split model count only together */
export function candidatesIn(files: readonly string[]): readonly Candidate[] {
  const all = new Set(files);
  return files
    .filter((file) => /\.gguf$/i.test(file) && !NO_MODEL.test(posix.basename(file)))
    // A name may say that it is one of 99,999: such a list is not made for each of the files that a hub names.
    .filter((file) => isFirstPart(file) && all.has(lastPart(file)) && partsOf(file).every((part) => all.has(part)))
    .toSorted()
    .map((file) => ({ files: partsOf(file), quantization: quantizationOf(file) }));
}

/** The last one in the file's name, else in its folder's. */
export function quantizationOf(file: string): string | null {
  const stem = file.replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "");
  for (const name of [posix.basename(stem), posix.dirname(stem)]) {
    const found = Array.from(name.matchAll(TAG), ([, tag]) => tag!.toUpperCase()).at(-1);
    if (found !== undefined) return found;
  }
  return null;
}

/** @param wanted in any case; null: the usual one, else whatever there is. @returns undefined: there is none */
export function chooseFrom(candidates: readonly Candidate[], wanted: string | null): Candidate | undefined {
  const named = (tag: string) => candidates.find(({ quantization }) => quantization === tag.toUpperCase());
  if (wanted !== null) return named(wanted);
  return PREFERRED.map(named).find((one) => one !== undefined) ?? candidates[0];
}
