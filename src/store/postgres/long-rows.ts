/*
 * Rows with attempts and placements written out, as earlier versions write them: a server that stands by may be of one, and reads what the
 * leader has written. Only rows of SQLite are short (../thread/attempts.ts, ../thread/placements.ts): their file has one server.
 */
import type { TaskStatus } from "../../task.ts";
import { attemptsOf } from "../thread/attempts.ts";
import type { Places, Row } from "../thread/columns.ts";
import { placementOf } from "../thread/placements.ts";
import { jsonOf } from "../thread/rows.ts";

type Used = "status" | "attempts" | "gpu_id" | "started_at" | "placement" | "finished_at" | "finished_shown";

/** @param row of a new task or of a change @param at the indexes in it */
export function longRow(row: Row, at: Places<Used>): Row {
  const long = [...row];
  long[at.attempts] = jsonOf(
    attemptsOf(row[at.attempts] as string, {
      status: row[at.status] as TaskStatus,
      gpuId: row[at.gpu_id] as number | null,
      startedAt: (row[at.started_at] ?? null) as number | null,
      finishedAt: (row[at.finished_shown] ?? row[at.finished_at] ?? null) as number | null,
    }),
  );
  // A row may end before it.
  const placement = placementOf(row[at.placement]);
  if (placement !== null) long[at.placement] = jsonOf(placement);
  return long;
}
