/** Embedding vectors as they travel: 32-bit floats, little-endian, in base64, as OpenAI's API writes them. */

/** Scales a vector to length 1. @throws {RangeError} it has no direction: it is all zeros, or holds what is no number */
export function unitVector(values: ArrayLike<number>): string {
  const numbers = Array.from(values);
  const length = Math.hypot(...numbers);
  if (!Number.isFinite(length) || length === 0) throw new RangeError("a vector without a direction");
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [index, value] of numbers.entries()) bytes.writeFloatLE(value / length, 4 * index);
  return bytes.toString("base64");
}

/** The numbers of such a vector. @throws {RangeError} it is not made of whole floats */
export function numbersOf(vector: string): number[] {
  const bytes = Buffer.from(vector, "base64");
  if (bytes.length % 4 !== 0) throw new RangeError("a vector that is none");
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
}
