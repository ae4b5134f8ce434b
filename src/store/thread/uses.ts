/* The column `used` of a task: what it has cost, as a JSON list. With their names the figures would take a tenth of the whole row. */
import type { TaskUse } from "../../task-use.ts";
import type { Value } from "./columns.ts";

/** The figures of a use, in the order of the list. */
type Figures = [
  queued: number,
  firstOutput: number | null,
  lastOutput: number | null,
  promptTokens: number | null,
  completionTokens: number,
  cachedTokens: number | null,
  gpuSeconds: number,
  energyJoules: number | null,
];

export function storedUse(use: Readonly<TaskUse>): string {
  const figures: Figures = [
    use.queued,
    use.firstOutput,
    use.lastOutput,
    use.promptTokens,
    use.completionTokens,
    use.cachedTokens,
    use.gpuSeconds,
    use.energyJoules,
  ];
  return JSON.stringify(figures);
}

/** The use of that column: of a task before this list, an object with the names. */
export function useOf(used: Value | undefined): TaskUse | null {
  if (typeof used !== "string") return null;
  const stored = JSON.parse(used) as Figures | TaskUse;
  if (!Array.isArray(stored)) return stored;
  const [queued, firstOutput, lastOutput, promptTokens, completionTokens, cachedTokens, gpuSeconds, energyJoules] =
    stored;
  return { queued, firstOutput, lastOutput, promptTokens, completionTokens, cachedTokens, gpuSeconds, energyJoules };
}
