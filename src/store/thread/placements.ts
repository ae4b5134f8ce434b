/* The column `placement` of a task, as a JSON list: with its names it would take a quarter of the whole row. */
import type { CountsByReason, Placement } from "../../task.ts";
import type { Value } from "./columns.ts";

/** The values of a placement, in the order of the list. */
type Values = [
  strategy: Placement["strategy"],
  gpuId: number,
  reason: Placement["reason"],
  /** The GPU and the score of each in turn. */
  candidates: (number | null)[],
  others: CountsByReason,
  expectedTokens: number | null,
];

export function storedPlacement(placement: Placement | null): string | null {
  if (placement === null) return null;
  const { strategy, gpuId, reason, others, expectedTokens = null } = placement;
  const candidates: (number | null)[] = [];
  for (const candidate of placement.candidates) candidates.push(candidate.gpuId, candidate.score);
  const values: Values = [strategy, gpuId, reason, candidates, others, expectedTokens];
  return JSON.stringify(values);
}

/** The placement of that column: of a task before this list, an object with the names. */
export function placementOf(column: Value | undefined): Placement | null {
  if (typeof column !== "string") return null;
  const stored = JSON.parse(column) as Values | Placement;
  if (!Array.isArray(stored)) return stored;
  const [strategy, gpuId, reason, figures, others, expectedTokens] = stored;
  const candidates: { gpuId: number; score: number | null }[] = [];
  for (let place = 0; place < figures.length; place += 2) {
    candidates.push({ gpuId: figures[place]!, score: figures[place + 1]! });
  }
  return { strategy, gpuId, reason, candidates, others, ...(expectedTokens !== null && { expectedTokens }) };
}
