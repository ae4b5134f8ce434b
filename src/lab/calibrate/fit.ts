/**
 * Makes a speed of what tasks took: seconds = start + prompt tokens ÷ their speed + answer tokens ÷ their speed, each at least 0. The
 * tasks of one fit ran beside equally many others.
 */

/** One task that has run. */
export interface Sample {
  /** Tokens of its prompt that had to be computed. */
  readonly prompt: number;
  readonly answer: number;
  readonly seconds: number;
}

/** Seconds: for a task whatever it is, and for each token of its prompt and its answer. */
export interface Fit {
  readonly start: number;
  readonly perPrompt: number;
  readonly perAnswer: number;
}

/** Relative errors count: a task of a second that is off by a tenth is as bad as one of ten that is off by one. */
function weighted({ prompt, answer, seconds }: Sample): readonly [number, number, number, number] {
  return [1 / seconds, prompt / seconds, answer / seconds, 1];
}

/** @param start known already; undefined: it is looked for as well */
export function fitOf(samples: readonly Sample[], start?: number): Fit {
  const rows = samples
    .map(weighted)
    .map(([one, prompt, answer, all]) =>
      start === undefined ? [one, prompt, answer, all] : [0, prompt, answer, all - start * one],
    );
  let best: Fit = { start: 0, perPrompt: 0, perAnswer: 0 };
  let least = Infinity;
  // Least squares with none below 0: the best of all choices of which are 0.
  for (let chosen = 0; chosen < 8; chosen++) {
    const columns = [0, 1, 2].filter((column) => (chosen & (1 << column)) !== 0);
    const found = solved(rows, columns);
    if (found === null || found.some((value) => value < 0)) continue;
    const values = [0, 0, 0];
    for (const [place, column] of columns.entries()) values[column] = found[place]!;
    const error = rows.reduce((sum, row) => sum + (row[3]! - dot(row, values)) ** 2, 0);
    if (error >= least - 1e-12) continue;
    least = error;
    best = { start: start ?? values[0]!, perPrompt: values[1]!, perAnswer: values[2]! };
  }
  return best;
}

/** How far off a fit is, in the mean, as a share of what the tasks took. */
export function errorOf({ start, perPrompt, perAnswer }: Fit, samples: readonly Sample[]): number {
  const off = samples.map(
    ({ prompt, answer, seconds }) => Math.abs(start + prompt * perPrompt + answer * perAnswer - seconds) / seconds,
  );
  return off.reduce((sum, one) => sum + one, 0) / off.length;
}

function dot(row: readonly number[], values: readonly number[]): number {
  return values.reduce((sum, value, column) => sum + value * row[column]!, 0);
}

/** The normal equations, by Gauss's elimination; null: they have no one solution. */
function solved(rows: readonly (readonly number[])[], columns: readonly number[]): number[] | null {
  const size = columns.length;
  const matrix = columns.map((one) => [
    ...columns.map((other) => rows.reduce((sum, row) => sum + row[one]! * row[other]!, 0)),
    rows.reduce((sum, row) => sum + row[one]! * row[3]!, 0),
  ]);
  const scale = matrix.map((row, place) => row[place]!);
  for (let step = 0; step < size; step++) {
    const pivot = matrix[step]![step]!;
    if (pivot <= 1e-9 * scale[step]!) return null;
    for (let below = 0; below < size; below++) {
      if (below === step) continue;
      const share = matrix[below]![step]! / pivot;
      for (let column = step; column <= size; column++) matrix[below]![column]! -= share * matrix[step]![column]!;
    }
  }
  return matrix.map((row, place) => row[size]! / row[place]!);
}
