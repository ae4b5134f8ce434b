/** How fast the GPUs of the lab are: measured by `alt-las lab calibrate`, or the model `reference`. */

/** Tokens a second of each slot, by the slots in use: pairs in the order of the slots, with straight lines between them. */
export type Curve = readonly (readonly [slots: number, tokensPerSecond: number])[];

/** One GPU. */
export interface GpuSpeed {
  /** Of prompts; null: they take no time. */
  readonly prompt: Curve | null;
  /** Of answers. */
  readonly generation: Curve;
  /** Seconds from the start of a task to its first work, whatever it is. */
  readonly startSeconds: number;
  /** Seconds that loading its model takes. */
  readonly loadSeconds: number;
  /** Whether a slot keeps the prompt that it had last, so that the next one goes on behind what both begin with. */
  readonly keepsPrompts: boolean;
}

/**
 * About a model of 8 billion parameters, quantized to 4 bits, on a card of 24 GB. Generation is bound by memory, so that slots slow each
 * other little; prompts are bound by arithmetic, so that slots share a speed that is nearly the same for one as for many.
 */
export const REFERENCE: GpuSpeed = {
  prompt: [
    [1, 4000],
    [2, 2400],
    [4, 1400],
    [8, 800],
    [16, 420],
    [64, 110],
  ],
  generation: [
    [1, 80],
    [2, 76],
    [4, 69],
    [8, 57],
    [16, 41],
    [64, 14],
  ],
  startSeconds: 0.01,
  loadSeconds: 8,
  keepsPrompts: true,
};

/** A GPU that is so many times as fast. */
export function times(factor: number, speed: GpuSpeed): GpuSpeed {
  const faster = (curve: Curve): Curve => curve.map(([slots, tokens]) => [slots, tokens * factor]);
  return {
    ...speed,
    prompt: speed.prompt === null ? null : faster(speed.prompt),
    generation: faster(speed.generation),
    startSeconds: speed.startSeconds / factor,
  };
}

/** A curve at each number of slots up to `most`, by index; 0 at 0. Below and above what was measured it is level. */
export function at(curve: Curve, most: number): Float64Array {
  const values = new Float64Array(most + 1);
  for (let slots = 1; slots <= most; slots++) {
    const above = curve.findIndex(([measured]) => measured >= slots);
    if (above <= 0) {
      values[slots] = curve.at(above)![1];
      continue;
    }
    const [left, low] = curve[above - 1]!;
    const [right, high] = curve[above]!;
    values[slots] = low + ((high - low) * (slots - left)) / (right - left);
  }
  return values;
}

/** Seconds that a request takes on an empty GPU alone. */
export function secondsAlone(speed: GpuSpeed, promptTokens: number, outputTokens: number): number {
  const prompt = speed.prompt === null ? 0 : promptTokens / speed.prompt[0]![1];
  return speed.startSeconds + prompt + outputTokens / speed.generation[0]![1];
}
