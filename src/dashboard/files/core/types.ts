/** Answers of the API, as far as the dashboard reads them, by the types of the server's own schemas. Browsers never get this file. */
export type { GpuDetails, GpusAnswer, GpuView as Gpu } from "../../../http/schemas/gpus.ts";
export type { TasksAnswer, TaskView as Task } from "../../../http/schemas/tasks.ts";
import type { TaskChange as Change } from "../../../observe/task-changes.ts";

/** As readers get it. */
export type TaskChange = Omit<Change, "team">;
