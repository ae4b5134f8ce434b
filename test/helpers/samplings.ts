/** Ways to draw tokens that a caller may ask for, at the ends of what is allowed. Some numbers are denormal in 32 bits, or nothing. */
import { type Sampling } from "../../src/request.ts";

const ENDS = {
  temperature: [0, 5e-324, 1e-45, 1e-40, 1e-38, 1e-36, 1e-30, 1e-10, 9.99e-4, 1e-3, 2],
  topP: [0, 5e-324, 1e-45, 1e-38, 1 - 1e-9, 1],
  topK: [0, 1, 2 ** 31 - 1],
  minP: [0, 1e-45, 1e-38, 1 - 1e-9, 1],
  presencePenalty: [0, 2, -2, 1e-45],
  frequencyPenalty: [0, 2, -2, 1e-45],
} as const;

/** Each end of each field beside all ends of the temperature, the others taking turns. @param tokens of the vocabulary */
export function extremes(tokens: number): Partial<Sampling>[] {
  const biases = [undefined, biasOf(tokens, () => -100), biasOf(tokens, (token) => (token % 2 === 0 ? 100 : -100))];
  const all: Partial<Sampling>[] = [];
  for (const temperature of ENDS.temperature) {
    for (const field of ["topP", "topK", "minP", "presencePenalty", "frequencyPenalty"] as const) {
      for (const value of ENDS[field]) {
        const turn = all.length;
        const others = Object.fromEntries(
          Object.entries(ENDS).map(([name, values], at) => [name, values[(turn * 7 + at) % values.length]]),
        );
        const logitBias = biases[turn % biases.length];
        all.push({ ...others, temperature, [field]: value, seed: turn, ...(logitBias !== undefined && { logitBias }) });
      }
    }
  }
  return all;
}

/** As many as one request may have. */
function biasOf(tokens: number, bias: (token: number) => number): Record<string, number> {
  const length = Math.min(tokens, 1024);
  return Object.fromEntries(Array.from({ length }, (_, token) => [token, bias(token)]));
}
