/** Facts from the names and the first bytes of GGUF files, before anything reads them. */

/** The first bytes of every GGUF file. */
export const MAGIC = "GGUF";

/** How llama.cpp names the parts of a split model; it looks for the others beside the first. */
const PART = /-(\d{5})-of-(\d{5})\.gguf$/;

/** Whether a file is the first of its model, or the only one. */
export function isFirstPart(path: string): boolean {
  return Number(PART.exec(path)?.[1] ?? 1) === 1;
}

/** The last file of a model, given any of them. */
export function lastPart(path: string): string {
  return path.replace(PART, (_ending, _number, count: string) => `-${count}-of-${count}.gguf`);
}

/** The files of a model, given any of them, in their order; of one that is not split, itself. */
export function partsOf(path: string): readonly string[] {
  const [ending, , count] = PART.exec(path) ?? [];
  if (ending === undefined) return [path];
  const stem = path.slice(0, -ending.length);
  const nameOf = (number: number) => `${stem}-${String(number).padStart(5, "0")}-of-${count}.gguf`;
  return Array.from({ length: Number(count) }, (_, index) => nameOf(index + 1));
}

/** The name of a model's file, without `.gguf` and without the number of its part. */
export function withoutPart(name: string): string {
  return name.replace(PART, "").replace(/\.gguf$/i, "");
}
