/* All kits, in the groups in which they are run. */
import type { MakePlace } from "../helpers/store.ts";
import { exerciseAudit } from "./audit.ts";
import { exerciseBatchFiles } from "./batch-files.ts";
import { exerciseBatches } from "./batches.ts";
import { exerciseFiles } from "./files.ts";
import { exerciseForget } from "./forget.ts";
import { exerciseIdempotency } from "./idempotency.ts";
import { exerciseOutbox } from "./outbox.ts";
import { exerciseStore } from "./store.ts";
import { exerciseTaskLists } from "./task-lists.ts";
import { exerciseTasks } from "./tasks.ts";
import { exerciseTexts } from "./texts.ts";
import { exerciseUsage } from "./usage.ts";

type Exercise = (name: string, make: MakePlace) => void;

export const TASK_KITS: readonly Exercise[] = [exerciseStore, exerciseTasks];
export const LIST_KITS: readonly Exercise[] = [exerciseTaskLists];
export const RECORD_KITS: readonly Exercise[] = [
  exerciseBatches,
  exerciseBatchFiles,
  exerciseOutbox,
  exerciseIdempotency,
  exerciseUsage,
  exerciseFiles,
  exerciseAudit,
  exerciseTexts,
  exerciseForget,
];
export const KITS = [...TASK_KITS, ...LIST_KITS, ...RECORD_KITS];
